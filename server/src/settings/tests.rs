use super::*;

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_defaults_in_the_table_are_the_defaults() {
    let mut from_table = Settings::default();
    for setting in TABLE.iter().filter(|setting| setting.default_is_value()) {
        from_table.set(setting, setting.variable, setting.default).unwrap();
    }
    assert_eq!(from_table, Settings::default());
}

#[test]
fn variables_and_flags_have_the_same_names() {
    for setting in TABLE {
        assert_eq!(setting.variable, variable_of(setting.flag));
    }
    for renamed in RENAMED {
        assert_eq!(renamed.variable, variable_of(renamed.flag));
    }
}

#[test]
fn an_old_name_is_refused_with_the_new_one() {
    for (old, new) in [
        ("SSR_RENDER_MEMORY", "SSR_RENDER_MEMORY_LIMIT"),
        ("SSR_REQUEST_BODY", "SSR_MAX_BODY_SIZE"),
        ("SSR_CLIENT_TIMEOUT", "SSR_HEADER_TIMEOUT, SSR_BODY_TIMEOUT, SSR_IDLE_TIMEOUT"),
        ("SSR_CONNECTIONS", "SSR_MAX_CONNECTIONS"),
        ("SSR_IMMUTABLE", "SSR_IMMUTABLE_PREFIX"),
        ("SSR_LOG", "SSR_LOG_LEVEL"),
    ] {
        let error = Settings::from_env(&env(&[(old, "1")])).unwrap_err();
        assert_eq!(error.to_string(), format!("{old} was renamed; use {new} instead"));
        assert_eq!(Settings::from_env(&env(&[(old, "")])).unwrap(), Settings::default());
    }
    for renamed in RENAMED {
        let known = |flag: &&str| TABLE.iter().any(|setting| setting.flag == *flag);
        assert!(renamed.replacements.iter().all(known), "{renamed:?}");
        assert!(renamed.flag_error().to_string().starts_with(&format!("--{} was", renamed.flag)));
    }
}

#[test]
fn values_are_read_as_people_write_them() {
    let settings = Settings::from_env(&env(&[
        ("PORT", "3000"),
        ("SSR_RENDER_TIMEOUT", "500ms"),
        ("SSR_RENDER_MEMORY_LIMIT", "64MiB"),
        ("SSR_ACCESS_LOG", "on"),
        ("SSR_IMMUTABLE_PREFIX", "none"),
        ("SSR_RENDER_QUEUE", ""),
    ]))
    .unwrap();
    assert_eq!(settings.listen.to_string(), "[::]:3000");
    assert_eq!(settings.limits.render_timeout, Duration::from_millis(500));
    assert_eq!(settings.limits.render_memory_limit, 64 << 20);
    assert_eq!(
        (settings.access_log, &settings.immutable, settings.limits.render_queue),
        (true, &Immutable::Nothing, 64)
    );
}

#[test]
fn a_small_container_has_fewer_connections() {
    for (memory, connections) in [
        (None, 1024),
        (Some(8 << 30), 1024),
        (Some(512 << 20), 1024),
        (Some(256 << 20), 512),
        (Some(16 << 20), 64),
    ] {
        assert_eq!(default_connections(memory), connections, "{memory:?}");
    }
}

#[test]
fn ssr_listen_wins_over_port() {
    let settings = Settings::from_env(&env(&[("PORT", "3000"), ("SSR_LISTEN", "[::]:80")])).unwrap();
    assert_eq!(settings.listen.to_string(), "[::]:80");
}

#[test]
fn images_made_for_other_runtimes_listen_where_those_would() {
    let listen = |variables: &[(&str, &str)]| Settings::from_env(&env(variables)).unwrap().listen.to_string();
    let (spin, wasmtime) = ("SPIN_HTTP_LISTEN_ADDR", "WASMTIME_HTTP_PROXY_SOCKET_ADDR");
    assert_eq!(listen(&[(spin, "0.0.0.0:80")]), "0.0.0.0:80");
    assert_eq!(listen(&[(wasmtime, "[::]:81"), (spin, "0.0.0.0:80")]), "[::]:81");
    assert_eq!(listen(&[(wasmtime, "127.0.0.1:81"), ("PORT", "82")]), "127.0.0.1:82");
    assert_eq!(listen(&[(wasmtime, "127.0.0.1:81"), ("SSR_LISTEN", "0.0.0.0:83")]), "0.0.0.0:83");
}

#[test]
fn an_invalid_value_is_named_with_its_setting_and_what_is_accepted() {
    let error = Settings::from_env(&env(&[("SSR_RENDER_TIMEOUT", "soon")])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "SSR_RENDER_TIMEOUT: invalid value 'soon'; expected a duration longer than zero and at most a year, such as 500ms, 10s or 2m"
    );
    for (setting, wrong) in [
        ("SSR_LISTEN", "nonsense"),
        ("SSR_RENDER_THREADS", "0"),
        ("SSR_RENDER_MEMORY_LIMIT", "lots"),
        ("SSR_RENDER_TIMEOUT", "0s"),
        ("SSR_RENDER_TIMEOUT", "99999999999y"),
        ("SSR_GRACE_PERIOD", "2y"),
        ("SSR_MAX_HEADER_SIZE", "1KiB"),
        ("SSR_IMMUTABLE_PREFIX", "assets"),
        ("SSR_ACCESS_LOG", "maybe"),
        ("SSR_LOG_LEVEL", "loud"),
        ("PORT", "http"),
        ("SPIN_HTTP_LISTEN_ADDR", "80"),
        ("WASMTIME_HTTP_PROXY_SOCKET_ADDR", "localhost"),
        ("SSR_GUEST", "cgi"),
    ] {
        match Settings::from_env(&env(&[(setting, wrong)])).unwrap_err() {
            SettingError::Invalid { name, value, .. } => assert_eq!((&*name, &*value), (setting, wrong)),
            error => panic!("{error}"),
        }
    }
}

#[test]
fn a_misspelled_variable_is_found_but_not_those_of_kubernetes() {
    let env =
        env(&[("SSR_LISTN", "x"), ("SSR_LISTEN", "x"), ("SSR_SERVICE_HOST", "x"), ("SSR_PORT_80_TCP", "x")]);
    assert_eq!(unknown_variables(&env), ["SSR_LISTN"]);
}

#[test]
fn the_documentation_contains_this_table() {
    let docs = include_str!("../../../docs/settings.md");
    assert!(docs.contains(&markdown()), "docs/settings.md must contain this table:\n{}", markdown());
}
