//! A compose project of two services on one network.

use crate::{Driver, Lab, web::HTTPD};

const FILE: &str = "/srv/project/compose.yaml";

impl Lab {
    /// Writes the project: on the network `project_net`, `web` at 10.77.0.10 with port 8080
    /// published, and `client` at 10.77.0.11.
    #[track_caller]
    pub fn write_project(&self, driver: Driver) {
        self.write(
            FILE,
            &format!(
                "services:
  web:
    image: lab
    command: {HTTPD:?}
    ports: ['8080:80']
    networks:
      net: {{ipv4_address: 10.77.0.10}}
  client:
    image: lab
    networks:
      net: {{ipv4_address: 10.77.0.11}}
networks:
  net:
    driver: {driver}
    ipam:
      config: [{{subnet: 10.77.0.0/24}}]
"
            ),
        );
    }

    /// Runs podman-compose with the project.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn compose(&self, words: &[&str]) {
        let compose = self.cmd("podman-compose").args(["--file", FILE]);
        compose.args(words).ok();
    }
}
