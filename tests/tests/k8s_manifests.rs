//! The files in `k8s/`: Kubernetes accepts what they render to, and they agree with each
//! other, with the image and with the shim.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_norway::Value;
use ssr_e2e::manifests::{self, KUSTOMIZATIONS, Manifests, SITES};
use ssr_e2e::{shell, under_test};

/// Of runtime-class-manager, not of Kubernetes: its schema is checked here.
const SHIM: &str = "runtime.spinkube.dev/v1alpha1";

fn read(name: &str) -> String {
    let path = under_test::repository().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(name: &str) -> Value {
    serde_norway::from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What kubernetes-validate says of a file: nothing, if the newest Kubernetes would accept it.
fn objections(manifests: &str) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), manifests).expect("a file");
    let mut validate = Command::new(manifests::tool("kubernetes-validate"));
    let said = shell::run(validate.args(["--strict", "--quiet"]).arg(file.path()));
    assert_eq!(said.stderr, "", "kubernetes-validate fails");
    said.stdout
}

#[test]
fn kubernetes_accepts_every_object() {
    for name in KUSTOMIZATIONS {
        let said = objections(&Manifests::render(name).text);
        let said: Vec<&str> = said.lines().filter(|line| !line.contains(SHIM)).collect();
        assert!(said.is_empty(), "{name}: {said:#?}");
    }
}

#[test]
fn a_field_that_kubernetes_does_not_know_would_be_noticed() {
    let text = Manifests::render("k8s").text;
    let misspelt = text.replace("maxUnavailable", "maxUnavailabel");
    assert!(objections(&misspelt).contains("'maxUnavailabel' was unexpected"));
    let outdated = text.replace("autoscaling/v2", "autoscaling/v2beta2");
    assert!(objections(&outdated).contains("autoscaling/v2beta2"));
}

#[test]
fn a_site_comes_with_everything_that_serves_it() {
    for name in SITES {
        let rendered = Manifests::render(name);
        let kinds = [
            "RuntimeClass",
            "Deployment",
            "Service",
            "Ingress",
            "PodDisruptionBudget",
            "HorizontalPodAutoscaler",
        ];
        for kind in kinds {
            assert_eq!(rendered.one(kind)["kind"], kind, "{name}");
        }
    }
}

#[test]
fn the_runtime_class_names_the_handler_that_containerd_is_configured_with() {
    let rendered = Manifests::render("k8s");
    let class = rendered.one("RuntimeClass");
    assert_eq!(rendered.site_pod()["spec"]["runtimeClassName"], class["metadata"]["name"]);

    let handler = class["handler"].as_str().unwrap();
    for (template, plugin) in [
        ("k8s/config-v3.toml.tmpl", "'io.containerd.cri.v1.runtime'"),
        ("k8s/config.toml.tmpl", "\"io.containerd.grpc.v1.cri\""),
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
    for template in ["k8s/config-v3.toml.tmpl", "k8s/config.toml.tmpl"] {
        let text = read(template)
            .replace("{{ template \"base\" . }}", "version = 2")
            .replace("{{ .SystemdCgroup }}", "true");
        assert!(!text.contains("{{"), "{template} has a field that this test does not expand");
        let parsed: toml::Table = text.parse().unwrap_or_else(|error| panic!("{template}: {error}"));
        assert!(parsed.contains_key("plugins"));
    }
}

/// Copies a directory of ordinary files and directories.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let (path, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).expect("an entry");
        match path.is_dir() {
            true => copy(&path, &target),
            false => fs::copy(&path, &target).map(|_| ()).expect("a copy"),
        }
    }
}

#[test]
fn name_host_and_image_are_changed_in_one_place() {
    let dir = tempfile::tempdir().expect("a directory");
    copy(&under_test::repository().join("k8s"), &dir.path().join("k8s"));
    let settings = dir.path().join("k8s/site/kustomization.yaml");
    let text = fs::read_to_string(&settings).expect("a file");
    let changed = text
        .replace("- name=site\n", "- name=shop\n")
        .replace("- host=site.example.com\n", "- host=shop.test\n")
        .replace("newName: docker.io/library/site\n", "newName: registry.test/team/shop\n")
        .replace("newTag: latest\n", "newTag: \"7\"\n");
    fs::write(&settings, changed).expect("a file");

    for name in SITES {
        let rendered = Manifests::render_below(dir.path(), name);
        for object in &rendered.objects {
            if !["RuntimeClass", "Shim"].contains(&object["kind"].as_str().unwrap()) {
                assert_eq!(object["metadata"]["name"], "shop", "{name}");
                assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/name"], "shop", "{name}");
            }
        }
        assert_agreement(&rendered, name);
        let pod = &rendered.site_pod()["spec"];
        assert_eq!(pod["containers"][0]["image"], "registry.test/team/shop:7", "{name}");
        assert_eq!(rendered.one("Ingress")["spec"]["rules"][0]["host"], "shop.test", "{name}");
    }
}

#[test]
fn the_objects_of_a_site_agree() {
    for name in SITES {
        assert_agreement(&Manifests::render(name), name);
    }
}

/// Selectors select the pods, references lead to objects, and ports to ports.
fn assert_agreement(rendered: &Manifests, name: &str) {
    let deployment = rendered.one("Deployment");
    let (template, spec) = (rendered.site_pod(), &rendered.site_pod()["spec"]);
    let service = rendered.one("Service");
    let selectors = [
        &deployment["spec"]["selector"]["matchLabels"],
        &service["spec"]["selector"],
        &rendered.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &spec["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ];
    for selector in selectors {
        for (label, value) in selector.as_mapping().unwrap() {
            assert_eq!(&template["metadata"]["labels"][label], value, "{name}");
        }
    }

    let port = &service["spec"]["ports"][0];
    let ports = spec["containers"][0]["ports"].as_sequence().unwrap();
    let container_port = ports.iter().find(|other| other["name"] == port["targetPort"]).unwrap();
    assert_eq!(container_port["containerPort"], 8080, "{name}");
    let backend = &rendered.one("Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
    assert_eq!(backend["name"], service["metadata"]["name"], "{name}");
    assert_eq!(backend["port"]["name"], port["name"], "{name}");

    let scaled = &rendered.one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"];
    for field in ["apiVersion", "kind"] {
        assert_eq!(scaled[field], deployment[field], "{name}");
    }
    assert_eq!(scaled["name"], deployment["metadata"]["name"], "{name}");
    assert!(
        deployment["spec"]["replicas"].is_null(),
        "{name}: applying it again would undo the autoscaler's work"
    );
    assert_eq!(spec["runtimeClassName"], rendered.one("RuntimeClass")["metadata"]["name"], "{name}");
}

#[test]
fn requests_in_flight_have_time_to_complete() {
    for name in SITES {
        let rendered = Manifests::render(name);
        let pod = &rendered.site_pod()["spec"];
        let delay =
            variables(pod).find(|(variable, _)| variable == "SSR_DRAIN_DELAY").map(|(_, value)| value);
        let delay: u64 = delay.unwrap().trim_end_matches('s').parse().unwrap();
        // SSR_GRACE_PERIOD is 8 seconds if nobody sets it.
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > delay + 8, "{name}");
    }
}

fn variables(pod: &Value) -> impl Iterator<Item = (String, String)> {
    let env = pod["containers"][0]["env"].as_sequence().unwrap();
    env.iter().map(|entry| {
        let text = |field: &str| entry[field].as_str().unwrap().to_owned();
        (text("name"), text("value"))
    })
}

#[test]
fn every_variable_is_a_setting() {
    let settings = read("docs/settings.md");
    for name in SITES {
        for (variable, _) in variables(&Manifests::render(name).site_pod()["spec"]) {
            assert!(settings.contains(&format!("| `{variable}` | `--")), "{name}: {variable}");
        }
    }
}

#[test]
fn the_site_is_admitted_where_pod_security_is_restricted() {
    for name in SITES {
        let rendered = Manifests::render(name);
        assert_eq!(violations(&rendered.site_pod()["spec"]), Vec::<String>::new(), "{name}");
    }
    let installer = Manifests::render("k8s/overlays/installer");
    let installer_pod = &installer.one("DaemonSet")["spec"]["template"]["spec"];
    assert!(violations(installer_pod).len() > 5, "{:?}", violations(installer_pod));
    let namespace = installer.one("Namespace");
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "privileged");
}

/// What the Pod Security Standard "restricted", which includes "baseline", forbids of a pod.
/// Users, seccomp profiles and the like are looked for in the pod's own security context
/// only, and privileges in the containers'.
fn violations(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            found.push(what.to_owned());
        }
    };
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        check(pod[shared].is_null() || pod[shared] == false, shared);
    }
    let context = &pod["securityContext"];
    check(context["runAsNonRoot"] == true, "runAsNonRoot");
    check(context["runAsUser"].as_u64().is_none_or(|user| user > 0), "runAsUser");
    let profile = &context["seccompProfile"]["type"];
    check(profile == "RuntimeDefault" || profile == "Localhost", "seccompProfile");
    for unusual in ["sysctls", "seLinuxOptions", "windowsOptions", "appArmorProfile"] {
        check(context[unusual].is_null(), unusual);
    }
    let allowed = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    for volume in pod["volumes"].as_sequence().into_iter().flatten() {
        let mut kinds = volume.as_mapping().unwrap().keys().filter(|key| *key != "name");
        check(kinds.all(|kind| allowed.contains(&kind.as_str().unwrap())), "volumes");
    }
    for kind in ["containers", "initContainers", "ephemeralContainers"] {
        for container in pod[kind].as_sequence().into_iter().flatten() {
            let context = &container["securityContext"];
            check(context["privileged"].is_null() || context["privileged"] == false, "privileged");
            check(context["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation");
            let dropped = context["capabilities"]["drop"].as_sequence();
            check(
                dropped.is_some_and(|dropped| dropped.iter().any(|name| name == "ALL")),
                "capabilities.drop",
            );
            let added = context["capabilities"]["add"].as_sequence().into_iter().flatten();
            check(added.into_iter().all(|name| name == "NET_BIND_SERVICE"), "capabilities.add");
            for inherited in ["runAsNonRoot", "runAsUser", "seccompProfile", "procMount", "seLinuxOptions"] {
                check(context[inherited].is_null(), inherited);
            }
            let ports = container["ports"].as_sequence().into_iter().flatten();
            check(ports.into_iter().all(|port| port["hostPort"].is_null()), "hostPort");
        }
    }
    found
}

#[test]
fn the_root_of_a_site_is_read_only() {
    for name in SITES {
        let rendered = Manifests::render(name);
        let container = &rendered.site_pod()["spec"]["containers"][0];
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{name}");
    }
}

#[test]
fn sites_are_scheduled_where_the_installer_says_that_the_shim_is_ready() {
    let base = Manifests::render("k8s");
    let selector = &base.one("RuntimeClass")["scheduling"]["nodeSelector"];
    assert_eq!(selector["containerd-shim-ssr"], "ready");
    let installer = Manifests::render("k8s/overlays/installer");
    let script = installer.one("ConfigMap")["data"]["install.sh"].as_str().unwrap();
    assert!(script.contains("label=containerd-shim-ssr\n") && script.contains("\"$label=ready\""));
    let pod = &installer.one("DaemonSet")["spec"]["template"]["spec"];
    let terms = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let wanted = &terms["nodeSelectorTerms"][0]["matchExpressions"][0];
    // Whatever the value: the installer stays while it changes.
    assert_eq!(wanted["key"], "containerd-shim-ssr");
    assert_eq!(wanted["operator"], "Exists");
}

/// As in runtime-class-manager's CustomResourceDefinition, `Shim` of `v1alpha1`.
#[test]
fn the_shim_resource_is_one_that_runtime_class_manager_understands() {
    let rendered = Manifests::render("k8s/overlays/runtime-class-manager");
    let shim = rendered.one("Shim");
    assert_eq!(shim["apiVersion"], SHIM);
    let spec = &shim["spec"];
    let known =
        ["nodeSelector", "fetchStrategy", "runtimeClass", "rolloutStrategy", "containerdRuntimeOptions"];
    assert!(spec.as_mapping().unwrap().keys().all(|key| known.contains(&key.as_str().unwrap())));
    assert_eq!(spec["fetchStrategy"]["type"], "anonymousHttp");
    assert!(spec["fetchStrategy"]["anonHttp"]["location"].as_str().unwrap().ends_with(".tar.gz"));
    assert_eq!(spec["rolloutStrategy"]["type"], "recreate");

    // It calls the runtime what follows this prefix in the name of the binary, and labels
    // nodes with the name of the resource.
    let name = "containerd-shim-ssr-v1".strip_prefix("containerd-shim-").unwrap();
    let class = rendered.one("RuntimeClass");
    assert_eq!(shim["metadata"]["name"], name);
    assert_eq!(spec["runtimeClass"]["handler"], name);
    assert_eq!(spec["runtimeClass"]["name"], class["metadata"]["name"]);
    assert_eq!(class["handler"], name);
    assert_eq!(class["scheduling"]["nodeSelector"][name], "provisioned");
}

#[test]
fn no_manifest_is_forgotten() {
    let mut kustomizations = Vec::new();
    find(&under_test::repository().join("k8s"), &mut kustomizations);
    assert!(kustomizations.len() > KUSTOMIZATIONS.len(), "{kustomizations:?}");
    for kustomization in kustomizations {
        let text = fs::read_to_string(&kustomization).expect("a file");
        let named = |name: &str| text.lines().any(|line| line.ends_with(name));
        for entry in fs::read_dir(kustomization.parent().unwrap()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let is_manifest = name.ends_with(".yaml") && name != "kustomization.yaml";
            assert!(!is_manifest || named(&name), "{} lacks {name}", kustomization.display());
        }
    }
    // Rendered without its name, an image would be pulled from Docker Hub's library.
    for listed in ["k8s/site", "k8s/overlays/installer"] {
        let images = &yaml(&format!("{listed}/kustomization.yaml"))["images"];
        assert_eq!(images.as_sequence().map(Vec::len), Some(1), "{listed}");
    }
}

fn find(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find(&path, found);
        } else if path.ends_with("kustomization.yaml") {
            found.push(path);
        }
    }
}
