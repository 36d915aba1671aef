//! What Node renders of the demo site.

use std::process::Command;

use serde_json::{Value, json};

use crate::{shell, under_test};

/// A page of the demo site.
#[derive(Debug)]
pub struct Page {
    /// Its path.
    pub path: String,
    /// Its status.
    pub status: u16,
    /// What Node makes of it.
    pub html: String,
}

/// Every page of the demo site, as Node renders it for a visitor of `base` and with what a server
/// says of itself.
pub fn pages_in_node(base: &str, environment: &[(&str, &str)]) -> Vec<Page> {
    let environment: serde_json::Map<_, _> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let mut node = Command::new("node");
    node.arg(under_test::repository().join("tests/browser/render-in-node.mjs"))
        .env("SITE_URL", base)
        .env("SITE_DIST", under_test::repository().join("target/site"))
        .env("SITE_ENV", Value::Object(environment).to_string());
    let pages = shell::run(&mut node).success().stdout;
    let pages: Vec<Value> = serde_json::from_str(&pages).expect("JSON");
    let text = |page: &Value, name: &str| page[name].as_str().expect("a text").to_owned();
    let page = |page: &Value| Page {
        path: text(page, "path"),
        status: page["status"].as_u64().and_then(|status| status.try_into().ok()).expect("a status"),
        html: text(page, "html"),
    };
    pages.iter().map(page).collect()
}
