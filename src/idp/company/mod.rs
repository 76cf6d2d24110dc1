//! An invented company whose identity provider keeps a server in step: people are hired, move,
//! change their names, leave and come back. One seed, one story.

mod names;

use serde_json::Value;

use crate::idp::client::NoAnswer;
use crate::idp::company::names::{FAMILY, GIVEN, TEAMS, TITLES};
use crate::idp::message::{Answer, Request};
use crate::idp::person::Person;
use crate::idp::provider::Provider;

/// The domain of its e-mail addresses, which nobody can have (RFC 2606).
const DOMAIN: &str = "demo.example.com";
/// It grows to so many times the people it began with, and no further.
const GROWTH_MAX: usize = 2;

/// How a request is sent.
pub type Send<'a> = dyn FnMut(&Request) -> Result<Answer, NoAnswer> + 'a;

/// The company, as its identity provider knows it.
#[derive(Clone, Debug)]
pub struct Company {
    provider: Provider,
    chance: Chance,
    people: Vec<Employee>,
    teams: Vec<Team>,
    people_max: usize,
}

#[derive(Clone, Debug)]
struct Employee {
    person: Person,
    team: usize,
    active: bool,
    /// Its id at the server, once it has one.
    id: Option<String>,
}

#[derive(Clone, Debug)]
struct Team {
    name: &'static str,
    id: Option<String>,
}

/// Numbers that look like chance and are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
struct Chance(u64);

impl Chance {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.number() % end).unwrap_or_default()
    }

    fn one_of(&mut self, texts: &[&'static str]) -> &'static str {
        texts[self.below(texts.len())]
    }
}

impl Company {
    /// A company of so many people; the server knows none of them yet.
    #[must_use]
    pub fn new(people: usize, seed: u64) -> Company {
        let teams = TEAMS.iter().map(|name| Team { name, id: None }).collect();
        let mut company = Company {
            provider: Provider::Okta,
            chance: Chance(seed),
            people: Vec::new(),
            teams,
            people_max: people.max(1) * GROWTH_MAX,
        };
        for _ in 0..people {
            company.invent();
        }
        company
    }

    /// How many people it has, those who have left included.
    #[must_use]
    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// Assigns everybody to the server and pushes the groups. To be called again when a request
    /// had no answer: it goes on where it was.
    ///
    /// # Errors
    /// When a request had no answer.
    pub fn begin(&mut self, send: &mut Send<'_>) -> Result<(), NoAnswer> {
        for at in 0..self.people.len() {
            if self.people[at].id.is_none() {
                self.assign(send, at)?;
            }
        }
        for team in 0..self.teams.len() {
            self.push(send, team)?;
        }
        Ok(())
    }

    /// One thing happens. Returns it in words.
    ///
    /// # Errors
    /// When a request had no answer.
    pub fn go_on(&mut self, send: &mut Send<'_>) -> Result<String, NoAnswer> {
        match self.chance.below(100) {
            0..20 if self.people.len() < self.people_max => self.hire(send),
            0..40 => self.transfer(send),
            40..55 => self.promote(send),
            55..65 => self.marry(send),
            65..80 if self.those(true).len() > self.people.len() / 2 => self.leave(send),
            65..93 if !self.those(false).is_empty() => self.come_back(send),
            _ => self.slip(send),
        }
    }

    /// Somebody who is not at the server yet.
    fn invent(&mut self) -> usize {
        let (given, family) = (self.chance.one_of(&GIVEN), self.chance.one_of(&FAMILY));
        let team = self.chance.below(self.teams.len());
        let title = self.chance.one_of(&TITLES).to_owned();
        let plain = format!("{given}.{family}").to_lowercase();
        let alike =
            |it: &&Employee| {
                it.person.user_name.split('@').next().is_some_and(|name| {
                    name.trim_end_matches(|c: char| c.is_ascii_digit()) == plain
                })
            };
        let number = match self.people.iter().filter(alike).count() {
            0 => String::new(),
            n => (n + 1).to_string(),
        };
        let person = Person {
            user_name: format!("{plain}{number}@{DOMAIN}"),
            given_name: given.to_owned(),
            family_name: family.to_owned(),
            title,
            department: self.teams[team].name.to_owned(),
            external_id: format!("00u{:017x}", self.people.len() + 1),
        };
        self.people.push(Employee { person, team, active: true, id: None });
        self.people.len() - 1
    }

    /// Who is there, or has left, among those whom the server knows.
    fn those(&self, active: bool) -> Vec<usize> {
        let known = self.people.iter().enumerate();
        let known = known.filter(|(_, it)| it.active == active && it.id.is_some());
        known.map(|(at, _)| at).collect()
    }

    /// Somebody of these, if there is anybody.
    fn somebody(&mut self, active: bool) -> Option<usize> {
        let those = self.those(active);
        let at = self.chance.below(those.len());
        those.get(at).copied()
    }

    fn hire(&mut self, send: &mut Send<'_>) -> Result<String, NoAnswer> {
        let at = self.invent();
        self.assign(send, at)?;
        let team = self.people[at].team;
        self.push(send, team)?;
        let person = &self.people[at].person;
        Ok(format!("{} was hired for {}", person.display_name(), person.department))
    }

    fn transfer(&mut self, send: &mut Send<'_>) -> Result<String, NoAnswer> {
        let Some(at) = self.somebody(true) else { return self.hire(send) };
        let from = self.people[at].team;
        let to = (from + 1 + self.chance.below(self.teams.len() - 1)) % self.teams.len();
        let department = self.teams[to].name.to_owned();
        let name = self.people[at].person.display_name();
        self.change(send, at, |it| it.department = department)?;
        self.people[at].team = to;
        self.push(send, from)?;
        self.push(send, to)?;
        Ok(format!("{name} moved from {} to {}", self.teams[from].name, self.teams[to].name))
    }

    fn promote(&mut self, send: &mut Send<'_>) -> Result<String, NoAnswer> {
        let Some(at) = self.somebody(true) else { return self.hire(send) };
        let title = self.chance.one_of(&TITLES);
        self.change(send, at, |it| it.title = title.to_owned())?;
        Ok(format!("{} is now {title}", self.people[at].person.display_name()))
    }

    fn marry(&mut self, send: &mut Send<'_>) -> Result<String, NoAnswer> {
        let Some(at) = self.somebody(true) else { return self.hire(send) };
        let before = self.people[at].person.display_name();
        let family = self.chance.one_of(&FAMILY);
        self.change(send, at, |it| it.family_name = family.to_owned())?;
        Ok(format!("{before} is now called {}", self.people[at].person.display_name()))
    }

    fn leave(&mut self, send: &mut Send<'_>) -> Result<String, NoAnswer> {
        let Some(at) = self.somebody(true) else { return self.hire(send) };
        self.set_active(send, at, false)?;
        Ok(format!("{} left the company", self.people[at].person.display_name()))
    }

    fn come_back(&mut self, send: &mut Send<'_>) -> Result<String, NoAnswer> {
        let Some(at) = self.somebody(false) else { return self.hire(send) };
        send(&self.provider.lookup(&self.people[at].person.user_name))?;
        self.set_active(send, at, true)?;
        Ok(format!("{} came back", self.people[at].person.display_name()))
    }

    /// What an admin types wrong and a server refuses.
    fn slip(&mut self, send: &mut Send<'_>) -> Result<String, NoAnswer> {
        let Some(at) = self.somebody(true) else { return self.hire(send) };
        let Employee { person, id: Some(id), .. } = &self.people[at] else {
            return self.hire(send);
        };
        let current = send(&self.provider.read(id))?.json().unwrap_or_default();
        let mistaken = Person { user_name: format!("new.{}", person.user_name), ..person.clone() };
        let answer = send(&self.provider.update(id, &current, person, &mistaken))?;
        Ok(format!(
            "somebody tried to change the userName of {}, which was answered {}",
            person.display_name(),
            answer.status
        ))
    }

    /// A person is looked up, and created or linked.
    fn assign(&mut self, send: &mut Send<'_>, at: usize) -> Result<(), NoAnswer> {
        let person = &self.people[at].person;
        let found = send(&self.provider.lookup(&person.user_name))?;
        let found = found.json().and_then(|it| it.pointer("/Resources/0/id").cloned());
        let id = match found {
            Some(id) => Some(id),
            None => {
                send(&self.provider.create(person))?.json().and_then(|it| it.get("id").cloned())
            }
        };
        self.people[at].id = id.as_ref().and_then(Value::as_str).map(str::to_owned);
        Ok(())
    }

    /// The profile of a person changes, here and at the server.
    fn change(
        &mut self,
        send: &mut Send<'_>,
        at: usize,
        change: impl FnOnce(&mut Person),
    ) -> Result<(), NoAnswer> {
        let employee = &mut self.people[at];
        let Some(id) = &employee.id else { return Ok(()) };
        let mut now = employee.person.clone();
        change(&mut now);
        let current = send(&self.provider.read(id))?.json().unwrap_or_default();
        send(&self.provider.update(id, &current, &employee.person, &now))?;
        employee.person = now;
        Ok(())
    }

    /// A person may log in or not any more, and is in the group of the team or not.
    fn set_active(&mut self, send: &mut Send<'_>, at: usize, active: bool) -> Result<(), NoAnswer> {
        let employee = &mut self.people[at];
        let Some(id) = &employee.id else { return Ok(()) };
        let current = send(&self.provider.read(id))?.json().unwrap_or_default();
        send(&self.provider.set_active(id, &current, active))?;
        employee.active = active;
        let team = employee.team;
        self.push(send, team)
    }

    /// The group of a team, with whoever is in it now.
    fn push(&mut self, send: &mut Send<'_>, team: usize) -> Result<(), NoAnswer> {
        let name = self.teams[team].name;
        if self.teams[team].id.is_none() {
            let found = send(&self.provider.lookup_group(name))?.json();
            let found = found.and_then(|it| it.pointer("/Resources/0/id").cloned());
            let id = match found {
                Some(id) => Some(id),
                None => {
                    let made = send(&self.provider.create_group(name, name))?.json();
                    made.and_then(|it| it.get("id").cloned())
                }
            };
            self.teams[team].id = id.as_ref().and_then(Value::as_str).map(str::to_owned);
        }
        let Some(group) = &self.teams[team].id else { return Ok(()) };
        let members = self.people.iter().filter(|it| it.team == team && it.active);
        let members: Vec<(&str, &str)> = members
            .filter_map(|it| Some((it.id.as_deref()?, it.person.user_name.as_str())))
            .collect();
        let last = members.last().map_or("", |(id, _)| *id);
        send(&self.provider.add_member(group, name, last, &members)).map(|_| ())
    }
}
