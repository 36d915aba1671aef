//! Which index.html is a template for rendered pages, and no page itself.

/// Comments that mark where rendered pages go: an index.html with one of them is a
/// template.
const OUTLETS: [&str; 2] = ["ssr-outlet", "app-html"];

/// Whether an index.html is a template for rendered pages: it has an outlet, or its body shows
/// nothing before a script fills it, as the one of a client build. The module renders that page.
pub fn is_template(html: &str) -> bool {
    has_outlet(html) || shows_nothing(html)
}

/// Whether one of the comments says where the page goes.
pub fn has_outlet(html: &str) -> bool {
    html.split("<!--").skip(1).any(|comment| {
        let name = comment.split("-->").next().unwrap_or_default().trim();
        OUTLETS.contains(&name)
    })
}

/// Whether a page with scripts has neither text nor pictures in its body.
fn shows_nothing(html: &str) -> bool {
    let lower = html.to_ascii_lowercase();
    let body = lower.find("<body").map_or(lower.as_str(), |start| &lower[start..]);
    let mut rest = body.to_owned();
    for (start, end) in
        [("<!--", "-->"), ("<script", "</script>"), ("<style", "</style>"), ("<noscript", "</noscript>")]
    {
        while let Some(from) = rest.find(start) {
            let to = rest[from..].find(end).map_or(rest.len(), |to| from + to + end.len());
            rest.replace_range(from..to, "");
        }
    }
    let shown = ["<img", "<svg", "<canvas", "<iframe", "<video", "<input", "<button", "<object", "<embed"];
    let text: String =
        rest.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect();
    lower.contains("<script") && text.trim().is_empty() && !shown.iter().any(|tag| rest.contains(tag))
}
