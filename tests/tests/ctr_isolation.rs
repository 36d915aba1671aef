//! What a tenant tries against the node, its own limits, and other tenants. A site's
//! container executes nothing but the shim's own binary; Linux programs run under the
//! node's OCI runtime.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use ssr_e2e::{Container, Containerd, leaks, shell};

/// The node's programs, mounted where a container finds them by PATH.
const PROGRAMS: &str = "type=bind,src=/bin,dst=/bin,options=rbind:ro";

/// The pids of a container's processes, as containerd sees them.
fn pids(container: &Container) -> Vec<u32> {
    let list = container.task(&["ps"]).success().stdout;
    list.lines().skip(1).filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

/// The files that a container's processes execute, as device and inode.
fn executed(container: &Container) -> Vec<String> {
    let file = |pid| format!("/proc/{pid}/exe");
    let identity = |file: String| {
        shell::run(&mut container.containerd().inside(["stat", "-Lc", "%d:%i", &file])).success()
    };
    pids(container).into_iter().map(|pid| identity(file(pid)).stdout.trim().to_owned()).collect()
}

#[test]
fn a_sites_container_executes_no_program_of_an_image_or_a_volume() {
    let containerd = Containerd::shared();
    let script = containerd.dir().join("script");
    fs::write(&script, "#!/bin/sh\necho native code\n").expect("a script");
    let other = containerd.dir().join("other");
    fs::write(&other, "MZ: a program for an interpreter that binfmt_misc may know").expect("a file");
    for file in [&script, &other] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let volume = format!("type=bind,src={},dst=/volume,options=rbind:ro", containerd.dir().display());
    let site = containerd
        .site()
        .option("--mount")
        .option(PROGRAMS)
        .option("--mount")
        .option(&volume)
        .env("LD_PRELOAD", "/volume/script")
        .start();
    for (command, says) in [
        (&["sh", "-c", "echo native code"][..], "kubectl debug"),
        (&["/bin/sh"], "kubectl debug"),
        (&["/volume/script"], "kubectl debug"),
        (&["/volume/other"], "neither"),
        (&["/bin/sh", "-c", "ssr health; echo native code"], "kubectl debug"),
        (&["/proc/self/exe"], "kubectl debug"),
    ] {
        let output = site.exec(command);
        assert_ne!(output.code, 0, "{command:?}");
        let said = output.stdout + &output.stderr;
        assert!(said.contains(says) && !said.contains("native code\n"), "{command:?}: {said}");
    }
    assert_eq!(site.exec(&["ssr", "health"]).success().code, 0);
    assert_eq!(site.get("/").status, 200);
    let shim = format!("/proc/{}/exe", containerd.shim_pid(site.id()));
    let shim = fs::metadata(shim).expect("the shim's binary");
    assert_eq!(executed(&site), [format!("{}:{}", shim.dev(), shim.ino())]);
}

#[test]
fn a_linux_program_runs_under_the_nodes_runc() {
    let containerd = Containerd::shared();
    let linux = containerd.linux(["sleep", "1000"]).detach();
    let root = containerd.dir().to_str().expect("an ordinary path");
    let states =
        shell::run(&mut containerd.inside(["find", root, "-path", "*/runc/*", "-name", "state.json"]));
    assert!(states.stdout.contains(linux.id()), "{}", states.stdout);
    assert_eq!(linux.exec(&["sh", "-c", "exit 3"]).code, 3);
    assert_eq!(linux.task(&["pause"]).success().code, 0);
    linux.wait_for_status("PAUSED");
    linux.task(&["resume"]).success();
    linux.kill("SIGKILL");
    assert_eq!(linux.wait().code, 137);
}

#[test]
fn a_linux_container_cannot_lift_its_limits() {
    let containerd = Containerd::shared();
    let lift = "for file in $(find /sys/fs/cgroup -name '*.max' -o -name '*limit_in_bytes'); do
                  echo max >$file && echo lifted $file; done 2>/dev/null; echo tried";
    let exited = containerd
        .linux(["sh", "-c", lift])
        .option("--mount")
        .option("type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro:nosuid:noexec:nodev")
        .run();
    assert_eq!((exited.code, &*exited.log), (0, "tried\n"));
}

#[test]
fn a_failed_exec_leaves_nothing_and_is_not_waited_for() {
    let containerd = Containerd::shared();
    let (site, linux) = (containerd.site().start(), containerd.linux(["sleep", "1000"]).detach());
    for container in [&site, &linux] {
        let shim = containerd.shim_pid(container.id());
        let count = |what: &str| fs::read_dir(format!("/proc/{shim}/{what}")).expect("a directory").count();
        let bundle = format!("cwd/../{}", container.id());
        // The first one may open what is kept.
        assert_ne!(container.exec(&["/no/such/program"]).code, 0);
        let before = (count("fd"), count(&bundle));
        for _ in 0..5 {
            let output = container.exec(&["/no/such/program"]);
            assert_ne!(output.code, 0);
            assert!(output.stderr.contains("/no/such/program"), "{}", output.stderr);
        }
        let now = shell::poll(|| Some((count("fd"), count(&bundle))).filter(|now| *now == before));
        assert!(now.is_some(), "before: {before:?}, now: {:?}", (count("fd"), count(&bundle)));
    }
}

#[test]
fn nothing_is_executed_in_a_paused_container() {
    let containerd = Containerd::shared();
    for container in [containerd.site().start(), containerd.linux(["sleep", "1000"]).detach()] {
        container.task(&["pause"]).success();
        container.wait_for_status("PAUSED");
        let started = std::time::Instant::now();
        let output = container.exec(&["ssr", "health"]);
        assert_ne!(output.code, 0);
        assert!(output.stderr.contains("paused"), "{}", output.stderr);
        assert!(started.elapsed().as_secs() < 30, "the answer took {:?}", started.elapsed());
        container.task(&["resume"]).success();
        container.wait_for_status("RUNNING");
    }
}

#[test]
fn an_executed_process_stays_in_the_containers_user_namespace() {
    let containerd = Containerd::shared();
    let mut run = containerd.site().own_network();
    for option in ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"] {
        run = run.option(option);
    }
    let site = run.detach();
    let healthy = || (site.exec(&["ssr", "health"]).code == 0).then_some(());
    assert!(shell::poll_for(shell::COMPILE_TIMEOUT, healthy).is_some(), "{}", site.log());

    // It waits for a page that takes its time.
    let mut second = containerd
        .ctr(["task", "exec", "--exec-id", "second", site.id(), "ssr", "health", "/slow?ms=5000"])
        .spawn()
        .expect("ctr");
    let both = shell::poll(|| Some(pids(&site)).filter(|pids| pids.len() == 2)).expect("two processes");
    for pid in both {
        let map =
            shell::run(&mut containerd.inside(["cat", &format!("/proc/{pid}/uid_map")])).success().stdout;
        assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"], "process {pid}");
    }
    assert_eq!(shell::wait(&mut second), 0);
}

#[test]
fn a_file_over_a_directory_and_too_low_a_limit_are_explained() {
    let containerd = Containerd::shared();
    let exited = containerd
        .site()
        .option("--mount")
        .option("type=bind,src=/etc/passwd,dst=/dist,options=bind:ro")
        .run();
    assert_ne!(exited.code, 0);
    assert!(
        exited.log.contains("the file '/etc/passwd'") && exited.log.contains("is a directory"),
        "{}",
        exited.log
    );
}

#[test]
fn compiled_code_cannot_be_changed_from_a_container_in_the_same_pid_namespace() {
    let containerd = Containerd::shared();
    // Machine code of the shim's file, and of a file of the cache.
    assert_code_cannot_be_changed(&containerd, containerd.site().start());
    assert_code_cannot_be_changed(&containerd, containerd.site_to_compile().start());
}

fn assert_code_cannot_be_changed(containerd: &Containerd, site: Container) {
    let before = cached(containerd.cached_code());
    let join = format!("pid:/proc/{}/ns/pid", site.pid());
    // By every descriptor and mapping of the server, as root.
    let attack = "for file in /proc/1/fd/* /proc/1/map_files/* /proc/1/exe; do
                    (echo changed >$file) 2>/dev/null && echo wrote $file; done
                  (echo changed | dd of=/proc/1/mem bs=1 conv=notrunc) 2>/dev/null && echo wrote memory
                  echo tried";
    let exited = containerd.linux(["sh", "-c", attack]).option("--with-ns").option(&join).run();
    assert!(exited.log.ends_with("tried\n"), "{}", exited.log);
    // Its own log and sockets may be written to; what other containers share may not.
    for line in exited.log.lines().filter(|line| line.starts_with("wrote /proc/1/fd/")) {
        let number = line.rsplit('/').next().expect("a number");
        let target =
            shell::run(&mut containerd.inside(["readlink", &format!("/proc/{}/fd/{number}", site.pid())]));
        let shared = ["code", "memfd", "containerd-shim"].iter().any(|name| target.stdout.contains(name));
        assert!(!shared, "{line}: {}", target.stdout);
    }
    assert!(
        !exited.log.contains("map_files") && !exited.log.contains("exe") && !exited.log.contains("memory")
    );
    assert_eq!(cached(containerd.cached_code()), before, "the cache was changed");
    assert!(!leaks::command(containerd.pid()).is_empty());
    assert_eq!(containerd.site().start().get("/").status, 200);
}

/// The contents of the cache's files.
fn cached(files: Vec<std::path::PathBuf>) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    files.into_iter().map(|file| (file.clone(), fs::read(file).expect("a file of the cache"))).collect()
}

#[test]
fn a_compiler_has_no_privileges_and_ends_with_its_container() {
    let containerd = Containerd::start();
    let site = containerd.site_to_compile().spawn();
    let compiler = || {
        let processes = leaks::descendants(containerd.init_pid()).into_iter();
        let mut compilers =
            processes.filter(|pid| leaks::command(*pid).contains("containerd-shim-ssr-v1 compile "));
        let pid = compilers.next()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        // The filter is what it installs last.
        status.contains("\nSeccomp:\t2\n").then_some((pid, status))
    };
    let (pid, status) = shell::poll(compiler).expect("a compiler in its sandbox");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let users = [field("Uid:"), field("Gid:")].concat();
    assert!(users.iter().all(|id| id.parse::<u32>().is_ok_and(|id| id > 1 << 30)), "{users:?}");
    assert!(field("Groups:").is_empty(), "{status}");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), ["0000000000000000"], "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    // Its threads fit into its cgroup, however many processors there are.
    let env = fs::read_to_string(format!("/proc/{pid}/environ")).expect("an environment");
    let threads = env.trim_end_matches('\0').strip_prefix("RAYON_NUM_THREADS=").expect("nothing else");
    assert!(threads.parse::<usize>().is_ok_and(|threads| threads < 16), "{env}");
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("cgroups");
    assert!(cgroup.contains("/ssr-compilers/"), "{cgroup}");
    for namespace in ["mnt", "net", "ipc", "uts"] {
        let of = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/{namespace}")).expect("a namespace");
        assert_ne!(of(pid), of(containerd.init_pid()), "{namespace}");
    }

    site.kill("SIGKILL");
    site.wait_for_exit();
    let gone = shell::poll(|| (!fs::exists(format!("/proc/{pid}")).expect("/proc")).then_some(()));
    assert!(gone.is_some(), "the compiler outlives its container");
    drop(site);
    containerd.assert_clean();
}
