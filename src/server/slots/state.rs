//! What a connection is doing and since when, in one number.

/// An answer that has been on its way for longer is one whose client does not read.
pub const STALLED_MICROS: u64 = 1_000_000;

/// How long a new connection is safe from eviction: what an honest client sends first comes right
/// behind its connect. While all connections are that new, the next one waits to be accepted.
pub const SILENT_GRACE_MICROS: u64 = 250_000;
/// The same once a request or a handshake has begun to arrive: enough for two further flights from
/// the other side of the world.
pub const INCOMPLETE_GRACE_MICROS: u64 = 600_000;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No request came yet, or the last answer is sent.
    New,
    /// A request or a TLS handshake has begun to arrive.
    Reading,
    /// The connection is kept open between two requests.
    Idle,
    /// A request is read, and its answer is not ready.
    Handling,
    /// An answer is being sent.
    Writing,
    /// The connection was closed to make room.
    Evicted,
}

/// A phase and when it began, in microseconds after the server started. Both are one number, so
/// that one compare-and-swap decides who wins when a request arrives just as its connection is to
/// be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What the connection is doing.
    pub phase: Phase,
    /// When the phase began, in microseconds after the server started.
    pub since: u64,
}

impl State {
    const PHASES: [Phase; 6] =
        [Phase::New, Phase::Reading, Phase::Idle, Phase::Handling, Phase::Writing, Phase::Evicted];

    /// The state that [`State::to_bits`] made this number of.
    pub fn from_bits(bits: u64) -> State {
        let phase = State::PHASES.get((bits & 7) as usize).copied().unwrap_or(Phase::Evicted);
        State { phase, since: bits >> 3 }
    }

    /// The state as one number.
    pub fn to_bits(self) -> u64 {
        self.since << 3 | self.phase as u64
    }

    /// For how long the connection is still safe from eviction, in microseconds.
    pub fn grace_left(self, now: u64) -> u64 {
        let grace = match self.phase {
            Phase::New => SILENT_GRACE_MICROS,
            Phase::Reading => INCOMPLETE_GRACE_MICROS,
            _ => 0,
        };
        grace.saturating_sub(now.saturating_sub(self.since))
    }

    /// Whether it is the client's turn to send something.
    pub fn waits_for_client(self) -> bool {
        matches!(self.phase, Phase::New | Phase::Reading | Phase::Idle)
    }

    /// Whether the connection costs its client nothing to hold: no request is complete, or the
    /// client does not read the answer.
    pub fn costs_client_nothing(self, now: u64) -> bool {
        match self.phase {
            Phase::New | Phase::Reading => true,
            Phase::Writing => now.saturating_sub(self.since) > STALLED_MICROS,
            Phase::Idle | Phase::Handling | Phase::Evicted => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_one_number() {
        for (i, phase) in State::PHASES.into_iter().enumerate() {
            assert_eq!(phase as usize, i);
            for since in [0, 1, u64::MAX >> 3] {
                let state = State { phase, since };
                assert_eq!(State::from_bits(state.to_bits()), state);
            }
        }
    }
}
