//! The configuration of a container that runs our own binary (a site, or a pod's sandbox),
//! as libcontainer should get it.
//!
//! What libcontainer 0.7 would ignore, or do differently from runc, is either made right
//! here or refused by its name. Nothing that the image supplies may run as native code.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use libcontainer::oci_spec::runtime::{
    Capabilities, Capability, LinuxCapabilities, Mount, MountBuilder, Process, Spec,
};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::container_files::ContainerFiles;
use super::limits;
use super::spec::{PidNamespace, is_bind, receives};

/// Where SELinux can be asked, if the kernel has it enabled.
const SELINUX: &str = "/sys/fs/selinux/enforce";

/// Refuses what cannot be honoured, and changes what libcontainer would do wrong. `files` are
/// the container's. `unified` says whether there is cgroup v2 only.
pub fn prepare(spec: &mut Spec, files: &ContainerFiles, unified: bool) -> Result<()> {
    refuse_hooks_of_the_image(spec)?;
    prepare_limits(spec)?;
    check_selinux(spec)?;
    set_propagation(spec)?;
    check_proc(spec, files)?;
    check_mount_points(spec, files)?;
    follow_dangling_links(spec, files);
    forbid_devices(spec);
    if let Some(mut process) = spec.process().clone() {
        restrict_capabilities(&mut process);
        spec.set_process(Some(process));
    }
    // libcontainer looks its own process up by its pid in the new namespace and finds none
    // or a wrong one.
    if PidNamespace::of(spec) == PidNamespace::Joined && !unified {
        let mut mounts = spec.mounts().clone().unwrap_or_default();
        mounts.retain(|mount| mount.typ().as_deref() != Some("cgroup"));
        spec.set_mounts(Some(mounts));
    }
    Ok(())
}

/// Mounts a module that is a layer of the image at the first argument's path.
pub fn add_module(spec: &mut Spec, module: &Path) -> Result<()> {
    let path = super::spec::entrypoint(spec).context("the image has no entrypoint")?;
    let options = ["bind", "ro", "nosuid", "nodev"].map(str::to_owned);
    let mount = MountBuilder::default().destination(path).source(module).typ("bind").options(options);
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    mounts.push(mount.build().context("the module's mount")?);
    spec.set_mounts(Some(mounts));
    Ok(())
}

/// Hooks that run in the container's namespaces could be programs of the image. Others run
/// on the node and are its operator's.
fn refuse_hooks_of_the_image(spec: &Spec) -> Result<()> {
    let Some(hooks) = spec.hooks().as_ref() else { return Ok(()) };
    for (name, hooks) in
        [("createContainer", hooks.create_container()), ("startContainer", hooks.start_container())]
    {
        if let Some(hook) = hooks.as_ref().and_then(|hooks| hooks.first()) {
            bail!(
                "the hook '{}' of kind {name} is refused: it would run in the container, and a site's container \
                 runs no Linux program",
                hook.path().display()
            );
        }
    }
    Ok(())
}

fn prepare_limits(spec: &mut Spec) -> Result<()> {
    let Some(mut linux) = spec.linux().clone() else { return Ok(()) };
    let Some(mut resources) = linux.resources().clone() else { return Ok(()) };
    limits::check(&resources)?;
    limits::drop_defaults(&mut resources);
    linux.set_resources(Some(resources));
    spec.set_linux(Some(linux));
    Ok(())
}

/// The label itself is set by the container's process, just before it executes.
fn check_selinux(spec: &Spec) -> Result<()> {
    let label = spec.process().as_ref().and_then(|process| process.selinux_label().as_deref());
    match label {
        Some(label) if !label.is_empty() && !Path::new(SELINUX).exists() => bail!(
            "the SELinux label '{label}' cannot be set: SELinux is not enabled in this node's kernel; disable it in \
             the engine's configuration"
        ),
        _ => Ok(()),
    }
}

/// Mounts that reach the node are refused. Without any that receives the node's later
/// mounts, all are private, as the default of Docker and Kubernetes says; libcontainer
/// would let them receive. With one, `mounts::volumes` makes the others private.
fn set_propagation(spec: &mut Spec) -> Result<()> {
    for mount in spec.mounts().iter().flatten() {
        let options = mount.options().iter().flatten();
        if let Some(option) = options.clone().find(|option| *option == "shared" || *option == "rshared") {
            bail!(
                "the mount at '{}' has the propagation '{option}', which a site's container does not offer: use \
                 'rprivate' or 'rslave' (in Kubernetes, mountPropagation: None or HostToContainer)",
                mount.destination().display()
            );
        }
    }
    let mut receives = spec.mounts().iter().flatten().any(receives);
    let Some(linux) = spec.linux() else { return Ok(()) };
    let of_root = linux.rootfs_propagation().as_deref().unwrap_or_default().trim_start_matches('r');
    match of_root {
        "" | "private" | "slave" => {}
        other => {
            bail!("rootfsPropagation: a site's container does not offer '{other}': use 'private' or 'slave'")
        }
    }
    receives |= of_root == "slave";
    let mut linux = linux.clone();
    linux.set_rootfs_propagation(Some(if receives { "slave" } else { "private" }.to_owned()));
    spec.set_linux(Some(linux));
    Ok(())
}

/// A file cannot be mounted over a directory, nor a directory over a file: the kernel says
/// only "not a directory".
fn check_mount_points(spec: &Spec, files: &ContainerFiles) -> Result<()> {
    for (mount, place) in spec.mounts().iter().flatten().zip(files.mounts()) {
        let Some(source) = mount.source().as_ref().filter(|_| is_bind(mount)) else { continue };
        let destination = mount.destination().display();
        let source_is_directory = source
            .metadata()
            .map_err(|error| anyhow!("cannot mount '{}' at '{destination}': {error}", source.display()))?
            .is_dir();
        // What does not exist is created.
        let Some(covered) = &place.covers else { continue };
        let (what, over) = match (source_is_directory, covered.is_dir()) {
            (true, false) => ("directory", "file"),
            (false, true) => ("file", "directory"),
            _ => continue,
        };
        bail!(
            "cannot mount the {what} '{}' at '{destination}', which is a {over} in the image: mount a {over} there, or \
             choose another path",
            source.display()
        );
    }
    Ok(())
}

/// Lets a mount that a link of the image leads to nowhere name the link's target, which
/// libcontainer then creates in the root: it would not create a file through the link.
fn follow_dangling_links(spec: &mut Spec, files: &ContainerFiles) {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for (mount, place) in mounts.iter_mut().zip(files.mounts()) {
        if place.covers.is_none() {
            mount.set_destination(place.destination.clone());
        }
    }
    spec.set_mounts(Some(mounts));
}

/// What is at `/proc` is trusted. Only these files in it may be mounted over, as runc has it.
fn check_proc(spec: &Spec, files: &ContainerFiles) -> Result<()> {
    const ALLOWED: [&str; 10] = [
        "/proc/cpuinfo",
        "/proc/diskstats",
        "/proc/loadavg",
        "/proc/meminfo",
        "/proc/slabinfo",
        "/proc/stat",
        "/proc/swaps",
        "/proc/sys/crypto/fips_enabled",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/uptime",
    ];
    let own = |mount: &&Mount| mount.typ().as_deref() == Some("proc") && !is_bind(mount);
    for mount in spec.mounts().iter().flatten().filter(|mount| !own(mount)) {
        // A link of the image may lead there.
        let destination = files
            .resolve(mount.destination())
            .with_context(|| format!("cannot mount at '{}'", mount.destination().display()))?;
        ensure!(
            !destination.starts_with("/proc")
                || ALLOWED.iter().any(|allowed| destination == Path::new(allowed)),
            "cannot mount over '{}': what is in /proc is the kernel's; choose another path",
            mount.destination().display()
        );
    }
    Ok(())
}

/// A site opens no device file, and on cgroup v2 nothing else would keep it from that.
fn forbid_devices(spec: &mut Spec) {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for mount in mounts.iter_mut().filter(|mount| is_bind(mount)) {
        let mut options = mount.options().clone().unwrap_or_default();
        options.retain(|option| !["dev", "rdev", "nodev", "rnodev"].contains(&option.as_str()));
        // Of the mount itself, and of those below it.
        options.extend(["nodev", "rnodev"].map(str::to_owned));
        mount.set_options(Some(options));
    }
    spec.set_mounts(Some(mounts));
}

/// A process has no capability that was not given to it, and never the one to make device
/// files.
pub fn restrict_capabilities(process: &mut Process) {
    let none = || Some(Capabilities::default());
    let mut given = process.capabilities().clone().unwrap_or_else(|| {
        let mut empty = LinuxCapabilities::default();
        empty.set_bounding(none()).set_effective(none()).set_permitted(none());
        empty.set_inheritable(none()).set_ambient(none());
        empty
    });
    let without = |set: &Option<Capabilities>| {
        let mut set = set.clone().unwrap_or_default();
        set.remove(&Capability::Mknod);
        Some(set)
    };
    let sets = [given.bounding(), given.effective(), given.permitted(), given.inheritable(), given.ambient()];
    let [bounding, effective, permitted, inheritable, ambient] = sets.map(without);
    given.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
    given.set_inheritable(inheritable).set_ambient(ambient);
    process.set_capabilities(Some(given));
}

/// Refuses what a process that joins a site's container could not be given.
pub fn check_exec(process: &Process) -> Result<()> {
    ensure!(
        process.scheduler().is_none(),
        "scheduler: a process in a site's container cannot have one of its own"
    );
    ensure!(
        process.io_priority().is_none(),
        "ioPriority: a process in a site's container cannot have one of its own"
    );
    let affinity = process.exec_cpu_affinity().as_ref();
    ensure!(
        affinity.is_none_or(|affinity| affinity.initial().is_none()),
        "execCPUAffinity.initial: a process in a site's container has its final processors from the start"
    );
    Ok(())
}

/// The label that the process gets at its next execution. Called by the process itself.
pub fn set_selinux_label(spec: &Spec) -> Result<()> {
    let label = spec.process().as_ref().and_then(|process| process.selinux_label().as_deref());
    let Some(label) = label.filter(|label| !label.is_empty()) else { return Ok(()) };
    let set = || {
        let mut file = std::fs::OpenOptions::new().write(true).open("/proc/thread-self/attr/exec")?;
        // An image may have a file of that name, and no proc.
        ensure!(fstatfs(&file)?.filesystem_type() == PROC_SUPER_MAGIC, "/proc is not the kernel's");
        Ok(file.write_all(label.as_bytes())?)
    };
    set().with_context(|| format!("cannot set the SELinux label '{label}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prepares a configuration with these fields; answers the error or the root's propagation.
    fn prepared(fields: &str) -> Result<String, String> {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("dist")).unwrap();
        std::fs::write(root.path().join("ssr.wasm"), "").unwrap();
        std::os::unix::fs::symlink("/proc", root.path().join("link")).unwrap();
        let config = format!(r#"{{"ociVersion":"1.0.2",{fields}}}"#);
        let mut spec: Spec = serde_json::from_str(&config).unwrap();
        let files = ContainerFiles::new(&spec, root.path()).unwrap();
        prepare(&mut spec, &files, true).map_err(|error| format!("{error:#}"))?;
        let linux = spec.linux().clone().unwrap_or_default();
        Ok(linux.rootfs_propagation().clone().unwrap_or_default())
    }

    fn mount(options: &str) -> String {
        format!(
            r#""linux":{{}},"mounts":[{{"destination":"/v","type":"bind","source":"/tmp","options":[{options}]}}]"#
        )
    }

    #[test]
    fn mounts_are_private_unless_one_receives_and_never_reach_the_node() {
        assert_eq!(prepared(r#""linux":{}"#).unwrap(), "private");
        assert_eq!(prepared(r#""linux":{"rootfsPropagation":"rslave"}"#).unwrap(), "slave");
        assert_eq!(prepared(&mount(r#""rbind","rprivate""#)).unwrap(), "private");
        assert_eq!(prepared(&mount(r#""rbind","rslave""#)).unwrap(), "slave");
        for fields in [mount(r#""rbind","rshared""#), r#""linux":{"rootfsPropagation":"shared"}"#.to_owned()]
        {
            let error = prepared(&fields).unwrap_err();
            assert!(error.contains("shared'") && error.contains("slave'"), "{error}");
        }
    }

    #[test]
    fn hooks_in_the_container_are_refused_and_those_on_the_node_are_not() {
        let hook = |kind: &str| format!(r#""linux":{{}},"hooks":{{"{kind}":[{{"path":"/bin/evil"}}]}}"#);
        for kind in ["createContainer", "startContainer"] {
            let error = prepared(&hook(kind)).unwrap_err();
            assert!(error.contains("'/bin/evil'") && error.contains(kind), "{error}");
        }
        for kind in ["prestart", "createRuntime", "poststart", "poststop"] {
            assert!(prepared(&hook(kind)).is_ok(), "{kind}");
        }
    }

    #[test]
    fn nothing_is_mounted_over_proc() {
        let at = |kind: &str, destination: &str| {
            prepared(&format!(
                r#""linux":{{}},"mounts":[{{"destination":"{destination}","type":"{kind}","source":"/etc"}}]"#
            ))
        };
        for destination in ["/proc", "/proc/sys/kernel", "/x/../proc/self", "//proc/1", "/link/sys"] {
            let error = at("tmpfs", destination).unwrap_err();
            assert!(error.contains(&format!("'{destination}'")), "{error}");
        }
        assert!(at("proc", "/proc").is_ok() && at("tmpfs", "/process").is_ok());
        let bind = r#""linux":{},"mounts":[{"destination":"/proc","type":"proc","source":"/etc","options":["bind"]}]"#;
        assert!(prepared(bind).unwrap_err().contains("'/proc'"));
    }

    #[test]
    fn a_process_has_what_it_was_given_and_cannot_make_devices() {
        let restricted = |capabilities: &str| {
            let text = format!(r#"{{"user":{{"uid":0,"gid":0}},"cwd":"/"{capabilities}}}"#);
            let mut process: Process = serde_json::from_str(&text).unwrap();
            restrict_capabilities(&mut process);
            process.capabilities().clone().unwrap()
        };
        let none = restricted("");
        assert!(none.bounding().as_ref().is_some_and(|set| set.is_empty()));
        assert!(none.permitted().as_ref().is_some_and(|set| set.is_empty()));
        let some =
            restricted(r#","capabilities":{"bounding":["CAP_MKNOD","CAP_CHOWN"],"effective":["CAP_MKNOD"]}"#);
        assert_eq!(some.bounding().clone().unwrap().into_iter().collect::<Vec<_>>(), [Capability::Chown]);
        assert!(some.effective().as_ref().is_some_and(|set| set.is_empty()));
    }

    #[test]
    fn a_task_limit_that_is_too_low_is_named() {
        let limit =
            |limit: i64| prepared(&format!(r#""linux":{{"resources":{{"pids":{{"limit":{limit}}}}}}}"#));
        for low in [1, 2, 4, limits::MIN_TASKS - 1] {
            assert!(limit(low).unwrap_err().contains(&format!("limit of {low} ")), "{low}");
        }
        for enough in [-1, 0, limits::MIN_TASKS, 100] {
            assert!(limit(enough).is_ok(), "{enough}");
        }
    }

    #[test]
    fn a_file_over_a_directory_and_a_directory_over_a_file_are_named() {
        let over = |source: &str, destination: &str| {
            prepared(&format!(
                r#""linux":{{}},"mounts":[{{"destination":"{destination}","type":"bind","source":"{source}"}}]"#
            ))
        };
        let error = over("/etc/passwd", "/dist").unwrap_err();
        assert!(
            error.contains("the file '/etc/passwd'") && error.contains("'/dist', which is a directory"),
            "{error}"
        );
        assert!(over("/etc", "/ssr.wasm").unwrap_err().contains("the directory '/etc'"));
        assert!(over("/no/such", "/x").unwrap_err().contains("'/no/such'"));
        assert!(over("/etc", "/dist").is_ok() && over("/etc/passwd", "/ssr.wasm").is_ok());
        assert!(over("/etc/passwd", "/new").is_ok());
    }

    #[test]
    fn a_selinux_label_is_refused_where_the_kernel_has_no_selinux() {
        let label = r#""linux":{},"process":{"user":{"uid":0,"gid":0},"cwd":"/","args":["x"],"selinuxLabel":"system_u:system_r:container_t:s0"}"#;
        match Path::new(SELINUX).exists() {
            true => assert!(prepared(label).is_ok()),
            false => assert!(prepared(label).unwrap_err().contains("container_t")),
        }
    }
}
