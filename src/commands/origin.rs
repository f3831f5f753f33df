//! Of which command, and when, a record is.

use std::env;
use std::iter;
use std::time::{Instant, SystemTime};

use serde_json::Value;

/// When the command began.
pub struct Origin {
    started: SystemTime,
    clock: Instant,
}

impl Origin {
    /// Of a command that begins now.
    pub fn now() -> Origin {
        Origin { started: SystemTime::now(), clock: Instant::now() }
    }

    /// Adds to a record the command line as it was given, but for where the program lies, the time
    /// at which it began, and the seconds since.
    pub fn add_to(&self, record: &mut Value) {
        let given = env::args_os().skip(1);
        let given = given.map(|argument| argument.to_string_lossy().into_owned());
        record["command"] = iter::once("mnist".into()).chain(given).collect::<Vec<String>>().into();
        record["started"] = humantime::format_rfc3339_seconds(self.started).to_string().into();
        record["seconds"] = self.clock.elapsed().as_secs_f64().into();
    }
}
