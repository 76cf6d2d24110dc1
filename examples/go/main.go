// Lets in whom plumm lets in, and ends the sessions of whoever is deactivated, within a second.
//
//	PLUMM_URL=http://127.0.0.1:8080 PLUMM_TOKEN=plm_… go run .
//
// The token has the scope read. How people prove who they are is left out: your single sign-on does that.
package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

// For how long sessions live on while the feed cannot be read.
const blindMax = 2 * time.Minute

type event struct {
	Type, UserID string
	User         *struct{}
}

var (
	mutex  sync.Mutex
	readAt time.Time
	// Up to where the feed was read, and the account of each session: in one file, so that a restart misses nothing.
	state = struct {
		After    int64
		Sessions map[string]string
	}{-1, map[string]string{}}
)

// Changes the state and its file.
func keep(change func()) {
	mutex.Lock()
	defer mutex.Unlock()
	change()
	text, _ := json.Marshal(state)
	err := os.WriteFile("sessions.new", text, 0o600)
	if err == nil {
		err = os.Rename("sessions.new", "sessions.json")
	}
	if err != nil {
		log.Fatal(err)
	}
}

func act(it event) {
	ends := it.Type == "user.deactivated" || it.Type == "user.deleted" || it.Type == "user.purged"
	if it.UserID == "" || !ends && it.User != nil {
		return
	}
	keep(func() {
		for key, id := range state.Sessions {
			if id == it.UserID {
				delete(state.Sessions, key)
			}
		}
	})
}

// Reads the feed from where it was read to, once.
func readOn(wait int) error {
	if state.After < 0 {
		now, err := ask("/scim/v2/Users?count=0", &struct{}{})
		if err != nil {
			return err
		}
		// From here on; who was logged in before has to log in again.
		keep(func() { state.After, state.Sessions = now, map[string]string{} })
	}
	var page struct {
		Changes []event
		Last    int64
		More    bool
	}
	if _, err := ask(fmt.Sprintf("/access/v1/changes?after=%d&wait=%d", state.After, wait), &page); err != nil {
		return err
	}
	for _, it := range page.Changes {
		act(it)
	}
	keep(func() {
		state.After = page.Last
		if !page.More {
			readAt = time.Now()
		}
	})
	return nil
}

func follow() {
	for wait := 0; ; wait = 30 {
		for err := readOn(wait); err != nil; err = readOn(0) { // When it lasts, nobody is let in.
			if err == errGap {
				keep(func() { state.After = -1 })
			}
			time.Sleep(time.Second)
		}
	}
}

func login(answer http.ResponseWriter, request *http.Request) {
	var account struct{ ID, UserName string }
	random := make([]byte, 32)
	_, err := rand.Read(random)
	key := base64.RawURLEncoding.EncodeToString(random)
	if err == nil {
		_, err = ask("/access/v1/users/"+url.PathEscape(request.PostFormValue("userName")), &account)
	}
	if err == nil {
		keep(func() { state.Sessions[key] = account.ID })
		// Again: what was told before the session was there ended nothing.
		_, err = ask("/access/v1/user?id="+url.QueryEscape(account.ID), &account)
	}
	if err != nil { // 403, 404, and whatever else is no plain yes.
		http.Error(answer, "You may not log in.", 403)
		return
	}
	http.SetCookie(answer, &http.Cookie{Name: "session", Value: key, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Secure: request.TLS != nil})
	fmt.Fprintf(answer, "Hello %s\n", account.UserName)
}

func page(answer http.ResponseWriter, request *http.Request) {
	mutex.Lock()
	defer mutex.Unlock()
	key, err := request.Cookie("session")
	if time.Since(readAt) > blindMax {
		http.Error(answer, "Nobody knows who may still be in.", 503)
	} else if err != nil || state.Sessions[key.Value] == "" {
		http.Error(answer, "Log in first.", 401)
	} else {
		fmt.Fprintln(answer, "You are in.")
	}
}

func main() {
	if text, err := os.ReadFile("sessions.json"); err == nil {
		if err := json.Unmarshal(text, &state); err != nil {
			log.Fatal(err)
		}
	}
	go follow()
	http.HandleFunc("/login", login)
	http.HandleFunc("/", page)
	http.HandleFunc("/webhook", webhook)
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
