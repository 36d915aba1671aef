//! The object `native`: the Rust functions that the web APIs (`js/`) call.

use std::cell::Cell;
use std::time::{Instant, SystemTime};

use rquickjs::promise::PromiseState;
use rquickjs::{
    Array, Ctx, Exception, Function, Object, Result, String as JsString, TypedArray, Value, prelude::Opt, qjs,
};

use crate::{host, url_parts};

/// State that is reset for each request. It is empty in the snapshot, so that
/// requests see no state of the build.
#[derive(Clone, Copy)]
struct PerRequest {
    started: Option<(Instant, SystemTime)>,
    random: Option<u64>,
}

thread_local! {
    static STATE: Cell<PerRequest> = const { Cell::new(PerRequest { started: None, random: None }) };
}

/// Clears the clock's origin and the random seed; the next use takes new ones.
pub fn reset() {
    STATE.set(PerRequest { started: None, random: None });
}

/// When the request began, by the monotonic clock and by the wall clock. The
/// first call sets it.
fn started() -> (Instant, SystemTime) {
    let mut state = STATE.get();
    let started = *state.started.get_or_insert_with(|| (Instant::now(), SystemTime::now()));
    STATE.set(state);
    started
}

/// Starts the request's clock.
pub fn start_clock() {
    started();
}

/// Milliseconds since the request began, for `performance.now()`.
fn now() -> f64 {
    started().0.elapsed().as_secs_f64() * 1000.0
}

/// When the request began, in milliseconds since 1970, for `performance.timeOrigin`.
fn time_origin() -> f64 {
    started().1.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64() * 1000.0)
}

/// The next number for `Math.random()`: SplitMix64 (Steele, Lea, Flood 2014),
/// seeded by the host for each instance.
fn random() -> f64 {
    let mut state = STATE.get();
    let seed = state.random.unwrap_or_else(|| {
        let mut bytes = [0; 8];
        host::random(&mut bytes);
        u64::from_le_bytes(bytes)
    });
    let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state.random = Some(seed);
    STATE.set(state);
    let mut z = seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    // A double holds 53 bits exactly.
    (z >> 11) as f64 / (1u64 << 53) as f64
}

/// Calls `f` with `string` as UTF-8, with each lone surrogate replaced by U+FFFD. All
/// strings leave the engine through here.
pub fn with_utf8<R>(string: JsString<'_>, f: impl FnOnce(&str) -> R) -> Result<R> {
    let c_string = string.to_cstring()?;
    // SAFETY: the pointer and the length come from the engine, and `c_string`
    // keeps them valid. `as_str` assumes that there are no lone surrogates, but
    // JavaScript strings may contain them.
    let bytes = unsafe { std::slice::from_raw_parts(c_string.as_ptr().cast::<u8>(), c_string.len()) };
    Ok(match std::str::from_utf8(bytes) {
        Ok(text) => f(text),
        Err(_) => f(&replace_surrogates(bytes)),
    })
}

/// From the engine's encoding, which writes a lone surrogate like a character of three
/// bytes, to UTF-8. U+FFFD has three bytes, too.
fn replace_surrogates(bytes: &[u8]) -> String {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() {
        if let [0xed, 0xa0..=0xbf, _, ..] = bytes[at..] {
            bytes[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How many bytes at the end belong to a character whose rest is missing.
fn unfinished(bytes: TypedArray<'_, u8>) -> usize {
    // SAFETY: no JavaScript runs while the slice is in use.
    let bytes = unsafe { bytes.as_bytes() }.unwrap_or_default();
    let is_unfinished = |end: &[u8]| {
        std::str::from_utf8(end).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=bytes.len().min(3)).rfind(|&count| is_unfinished(&bytes[bytes.len() - count..])).unwrap_or(0)
}

fn write<'js>(ctx: Ctx<'js>, body: Value<'js>) -> Result<()> {
    if let Some(text) = body.as_string() {
        return with_utf8(text.clone(), |text| host::write(text.as_bytes()));
    }
    let bytes = TypedArray::<u8>::from_value(body)?;
    // SAFETY: no JavaScript runs while the slice is in use.
    match unsafe { bytes.as_bytes() } {
        Some(bytes) => host::write(bytes),
        None => return Err(Exception::throw_type(&ctx, "the body's buffer is detached")),
    }
    Ok(())
}

fn decode<'js>(ctx: Ctx<'js>, bytes: TypedArray<'js, u8>, fatal: bool) -> Result<JsString<'js>> {
    // SAFETY: no JavaScript runs while the slice is in use; creating a string runs none.
    let bytes = unsafe { bytes.as_bytes() }.unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) => JsString::from_str(ctx, text),
        Err(_) if fatal => Err(Exception::throw_type(&ctx, "TextDecoder: invalid UTF-8")),
        Err(_) => JsString::from_str(ctx, &String::from_utf8_lossy(bytes)),
    }
}

/// A header's name in lower case, or `None` if it is not a token (RFC 9110, 5.6.2).
fn header_name(name: &str) -> Option<String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (!name.is_empty() && name.bytes().all(is_token)).then(|| name.to_ascii_lowercase())
}

/// A header's value without the spaces around it, or `None` if HTTP cannot carry it.
fn header_value(value: &str) -> Option<String> {
    let value = value.trim_matches(['\t', '\n', '\r', ' ']);
    let is_allowed = |character: char| character <= '\u{ff}' && !"\0\r\n".contains(character);
    value.chars().all(is_allowed).then(|| value.to_owned())
}

/// Where `part` begins in `bytes`, from the index `from` on; -1 if it is not there.
fn find(bytes: TypedArray<'_, u8>, part: TypedArray<'_, u8>, from: usize) -> f64 {
    // SAFETY: no JavaScript runs while the slices are in use.
    let (bytes, part) =
        unsafe { (bytes.as_bytes().unwrap_or_default(), part.as_bytes().unwrap_or_default()) };
    let rest = bytes.get(from..).unwrap_or_default();
    // Most places differ in the first byte, which is faster to compare than two slices.
    let is_there = |window: &[u8]| window.first() == part.first() && window == part;
    let found = rest.windows(part.len().max(1)).position(is_there);
    found.map_or(-1.0, |at| (from + at) as f64)
}

/// What a proxy stands for: undefined if the value is no proxy, null if it is revoked.
fn proxy_target<'js>(ctx: Ctx<'js>, value: Value<'js>) -> Value<'js> {
    if !value.is_proxy() {
        return Value::new_undefined(ctx);
    }
    // SAFETY: the value is a proxy of this context, and the result is owned. (rquickjs's own
    // type for proxies excludes those of functions.)
    let target = unsafe {
        let target = qjs::JS_GetProxyTarget(ctx.as_raw().as_ptr(), value.as_raw());
        Value::from_raw(ctx.clone(), target)
    };
    if target.is_object() {
        return target;
    }
    // It is revoked.
    drop(ctx.catch());
    Value::new_null(ctx)
}

/// A promise's state and what it was settled with; undefined if the value is none.
fn promise_state<'js>(ctx: Ctx<'js>, value: Value<'js>) -> Result<Value<'js>> {
    let Some(promise) = value.as_promise() else { return Ok(Value::new_undefined(ctx)) };
    let state = Array::new(ctx.clone())?;
    let kind = match promise.state() {
        PromiseState::Pending => "pending",
        PromiseState::Resolved => "fulfilled",
        PromiseState::Rejected => "rejected",
    };
    state.set(0, kind)?;
    match promise.result::<Value<'js>>() {
        Some(Ok(result)) => state.set(1, result)?,
        // The reason becomes the exception.
        Some(Err(_)) => state.set(1, ctx.catch())?,
        None => {}
    }
    Ok(state.into_value())
}

/// Creates the object `native`.
pub fn object<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    let native = Object::new(ctx.clone())?;
    macro_rules! define {
        ($name:literal, $function:expr) => {
            native.set($name, Function::new(ctx.clone(), $function)?.with_name($name)?)?;
        };
    }
    define!("respond", |status: u32, headers: JsString<'_>, streaming: bool| with_utf8(headers, |headers| {
        host::respond(status, headers, streaming);
    }));
    define!("write", write);
    define!("end", host::end);
    define!("log", |level: u32, text: JsString<'_>| with_utf8(text, |text| host::log(level, text)));
    define!("now", now);
    define!("timeOrigin", time_origin);
    define!("random", random);
    define!("randomBytes", |ctx, length: u32| {
        let mut bytes = vec![0; length as usize];
        host::random(&mut bytes);
        TypedArray::<u8>::new(ctx, bytes)
    });
    define!("encode", |ctx, text: JsString<'_>| {
        with_utf8(text, |text| text.as_bytes().to_vec()).and_then(|bytes| TypedArray::<u8>::new(ctx, bytes))
    });
    define!("decode", decode);
    define!("unfinished", unfinished);
    define!("find", find);
    define!("proxyTarget", proxy_target);
    define!("promiseState", promise_state);
    define!("headerName", |name: JsString<'_>| with_utf8(name, header_name));
    define!("headerValue", |value: JsString<'_>| with_utf8(value, header_value));
    define!("urlParse", |input: JsString<'_>,
                         base: Opt<Option<JsString<'_>>>|
     -> Result<Option<Vec<String>>> {
        let base = base.0.flatten().map(|base| with_utf8(base, str::to_owned)).transpose()?;
        let parts = with_utf8(input, |input| url_parts::parse(input, base.as_deref()))?;
        Ok(parts.map(Vec::from))
    });
    define!("urlSet", |href: String, part: String, value: JsString<'_>| -> Result<Option<Vec<String>>> {
        Ok(with_utf8(value, |value| url_parts::set(&href, &part, value))?.map(Vec::from))
    });
    define!("formParse", |query: JsString<'_>| with_utf8(query, url_parts::parse_form));
    define!("formSerialize", |pairs: Vec<String>| url_parts::serialize_form(&pairs));
    Ok(native)
}
