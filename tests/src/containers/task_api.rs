//! Creates a task without starting it, as Docker and a kubelet do first, and changes its
//! limits. `ctr` has no commands for that.

use super::container::Container;
use super::tasks::Tasks;

impl Container<'_> {
    /// Creates the task of a container that has none, and returns its process id.
    pub fn create_task(&self) -> u32 {
        Tasks(self.containerd()).create(self.id(), None).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a created task, and returns its process id.
    pub fn start_task(&self) -> u32 {
        Tasks(self.containerd()).start(self.id(), "").unwrap_or_else(|error| panic!("{error}"))
    }

    /// Changes its limits to an OCI configuration's "resources".
    ///
    /// # Errors
    /// What containerd answers if they are not changed.
    pub fn update(&self, resources: &serde_json::Value) -> Result<(), String> {
        Tasks(self.containerd()).update(self.id(), resources).map_err(|error| error.message)
    }
}
