//! The files in `k8s/`: each of them parses, and they agree with each other and with the
//! image.

use std::fs;

use serde_norway::Value;
use ssr_e2e::under_test;

fn read(name: &str) -> String {
    let path = under_test::repository().join("k8s").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(name: &str) -> Value {
    serde_norway::from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_runtime_class_names_the_handler_that_containerd_is_configured_with() {
    let class = yaml("runtimeclass.yaml");
    let pod = &yaml("deployment.yaml")["spec"]["template"]["spec"];
    assert_eq!(pod["runtimeClassName"], class["metadata"]["name"]);

    let handler = class["handler"].as_str().unwrap();
    for (template, plugin) in [
        ("config-v3.toml.tmpl", "'io.containerd.cri.v1.runtime'"),
        ("config.toml.tmpl", "\"io.containerd.grpc.v1.cri\""),
    ] {
        let text = read(template);
        let table = format!("[plugins.{plugin}.containerd.runtimes.{handler}]");
        assert!(text.contains(&table), "{template} lacks {table}");
        assert!(text.contains("runtime_type = \"io.containerd.ssr.v1\""));
        assert!(text.starts_with("{{ template \"base\" . }}\n"), "{template}");
    }
}

#[test]
fn the_templates_are_toml_once_k3s_has_expanded_them() {
    for template in ["config-v3.toml.tmpl", "config.toml.tmpl"] {
        let text = read(template)
            .replace("{{ template \"base\" . }}", "version = 2")
            .replace("{{ .SystemdCgroup }}", "true");
        assert!(!text.contains("{{"), "{template} has a field that this test does not expand");
        let parsed: toml::Table = text.parse().unwrap_or_else(|error| panic!("{template}: {error}"));
        assert!(parsed.contains_key("plugins"));
    }
}

#[test]
fn the_service_selects_the_pods_and_their_port() {
    let service = yaml("service.yaml");
    let template = &yaml("deployment.yaml")["spec"]["template"];
    for (label, value) in service["spec"]["selector"].as_mapping().unwrap() {
        assert_eq!(&template["metadata"]["labels"][label], value);
    }
    let ports = template["spec"]["containers"][0]["ports"].as_sequence().unwrap();
    let target = &service["spec"]["ports"][0]["targetPort"];
    let port = ports.iter().find(|port| &port["name"] == target).unwrap();
    assert_eq!(port["containerPort"], 8080);
}

#[test]
fn the_pod_asks_for_no_privileges() {
    let pod = &yaml("deployment.yaml")["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert!(pod["securityContext"]["runAsUser"].as_u64().unwrap() > 0);
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["readOnlyRootFilesystem"], true);
    assert_eq!(container["allowPrivilegeEscalation"], false);
    assert_eq!(container["capabilities"]["drop"][0], "ALL");
}

#[test]
fn the_kustomization_lists_every_manifest() {
    let listed = yaml("kustomization.yaml");
    let listed = listed["resources"].as_sequence().unwrap();
    for entry in fs::read_dir(under_test::repository().join("k8s")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".yaml") && name != "kustomization.yaml" {
            yaml(&name);
            assert!(listed.iter().any(|item| *item == name.as_str()), "{name}");
        }
    }
}
