package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

var (
	client = http.Client{Timeout: 40 * time.Second}
	errGap = errors.New("something was missed")
)

// Asks plumm, and returns the number of the last change that the answer has seen.
func ask(path string, into any) (int64, error) {
	request, err := http.NewRequest("GET", os.Getenv("PLUMM_URL")+path, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("PLUMM_TOKEN"))
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case 200:
		change, _ := strconv.ParseInt(answer.Header.Get("Plumm-Change"), 10, 64)
		return change, json.NewDecoder(answer.Body).Decode(into)
	case 410:
		return 0, errGap
	}
	return 0, errors.New(answer.Status)
}

// An older webhook may be a copy that somebody sends again.
const ageMax = 5 * time.Minute

// Acts on the event of a webhook, if it comes from plumm: https://www.standardwebhooks.com, signed with HMAC-SHA256.
func webhook(answer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(answer, request.Body, 1<<20))
	var told struct{ Data event }
	if err != nil || !genuine(request.Header, body) || json.Unmarshal(body, &told) != nil {
		http.Error(answer, "That does not come from plumm.", 401)
		return
	}
	act(told.Data) // The same event twice does no harm.
	answer.WriteHeader(204)
}

// Whether one of the signatures is right; two keys sign while one takes the other's place.
func genuine(header http.Header, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(os.Getenv("PLUMM_WEBHOOK_SECRET"), "whsec_"))
	at := header.Get("webhook-timestamp")
	seconds, bad := strconv.ParseInt(at, 10, 64)
	age := time.Since(time.Unix(seconds, 0))
	if err != nil || bad != nil || len(key) == 0 || age > ageMax || age < -ageMax {
		return false
	}
	sum := hmac.New(sha256.New, key)
	sum.Write([]byte(header.Get("webhook-id") + "." + at + "."))
	sum.Write(body)
	expected := []byte("v1," + base64.StdEncoding.EncodeToString(sum.Sum(nil)))
	for _, it := range strings.Fields(header.Get("webhook-signature")) {
		if hmac.Equal([]byte(it), expected) {
			return true
		}
	}
	return false
}
