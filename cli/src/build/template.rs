//! The template of a site's pages: its built index.html, with a place for each page.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use ssr_server::has_outlet;

/// Ids that frameworks' own templates give to the element of the page.
const USUAL_IDS: [&str; 3] = ["app", "root", "__nuxt"];

/// The template with an outlet: the one that it has, or the start of the element that `outlet`
/// (`#ID`) names.
///
/// # Errors
/// If it has none, or there is no such element, or that has content already.
pub fn with_outlet(path: &Path, template: String, outlet: Option<&str>) -> Result<String> {
    let name = path.display();
    let has_outlet = has_outlet(&template);
    let Some(outlet) = outlet else {
        if has_outlet {
            return Ok(template);
        }
        let found = USUAL_IDS.into_iter().find(|id| element(&template, id).is_some());
        let element = found.unwrap_or("app");
        bail!(
            "the template '{name}' has no outlet for the page: put <!--ssr-outlet--> where the page goes, or name the \
             element that gets it: --outlet '#{element}'"
        );
    };
    let id = outlet.strip_prefix('#').filter(|id| !id.is_empty());
    let Some(id) = id else {
        bail!("--outlet '{outlet}': expected the id of an element with # before it, such as '#app'")
    };
    ensure!(
        !has_outlet,
        "the template '{name}' has an outlet already, so --outlet '{outlet}' is not needed: leave it out"
    );
    let Some(element) = element(&template, id) else {
        bail!("--outlet '{outlet}': the template '{name}' has no element with id=\"{id}\"")
    };
    let inside = &template[element..];
    ensure!(
        inside.trim_start().starts_with("</"),
        "--outlet '{outlet}': that element of the template '{name}' is not empty: put <!--ssr-outlet--> where the page goes"
    );
    Ok(format!("{}<!--ssr-outlet-->{inside}", &template[..element]))
}

/// Where the content of the element with this id begins.
fn element(html: &str, id: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(start) = html[at..].find('<').map(|found| at + found) {
        let rest = &html[start..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            at = start + 4 + comment.find("-->")?;
            continue;
        }
        let end = start + tag_length(rest)?;
        let tag = &html[start..end];
        if tag.as_bytes().get(1).is_some_and(u8::is_ascii_alphabetic) && id_of(tag) == Some(id) {
            return Some(end);
        }
        at = end;
    }
    None
}

/// The length of a tag, whose attributes can have `>` in quotes.
fn tag_length(html: &str) -> Option<usize> {
    let mut quote = None;
    for (place, character) in html.char_indices() {
        match (quote, character) {
            (None, '>') => return Some(place + 1),
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
    }
    None
}

/// The value of a tag's attribute `id`.
fn id_of(tag: &str) -> Option<&str> {
    let mut rest = tag;
    loop {
        let place = rest.find("id")?;
        let before = rest[..place].chars().next_back();
        let after = rest[place + 2..].trim_start();
        if before.is_some_and(char::is_whitespace)
            && let Some(value) = after.strip_prefix('=').map(str::trim_start)
        {
            return match value.chars().next()? {
                quote @ ('"' | '\'') => value[1..].split(quote).next(),
                _ => value.split([' ', '\t', '\n', '>', '/']).next(),
            };
        }
        rest = &rest[place + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, outlet: Option<&str>) -> Result<String, String> {
        with_outlet(Path::new("index.html"), template.to_owned(), outlet).map_err(|error| error.to_string())
    }

    #[test]
    fn an_element_gets_the_outlet() {
        for (template, expected) in [
            ("<div id=\"app\"></div>", "<div id=\"app\"><!--ssr-outlet--></div>"),
            (
                "<p id=a title='>'></p><main class=x id = 'app'>\n</main>",
                "<p id=a title='>'></p><main class=x id = 'app'><!--ssr-outlet-->\n</main>",
            ),
            (
                "<!-- <div id=app> --><div data-id=app></div><b id=app></b>",
                "<!-- <div id=app> --><div data-id=app></div><b id=app><!--ssr-outlet--></b>",
            ),
        ] {
            assert_eq!(filled(template, Some("#app")).unwrap(), expected);
        }
        let own = "<div id=app><!-- app-html --></div>";
        assert_eq!(filled(own, None).unwrap(), own);
    }

    #[test]
    fn a_template_without_an_outlet_says_what_to_do() {
        let error = filled("<div id=root></div>", None).unwrap_err();
        assert!(error.contains("--outlet '#root'") && error.contains("'index.html'"), "{error}");
        for (template, outlet, part) in [
            ("<div id=app></div>", "app", "#app"),
            ("<div id=app></div>", "#other", "id=\"other\""),
            ("<div id=app>text</div>", "#app", "not empty"),
            ("<div id=app><!--ssr-outlet--></div>", "#app", "already"),
            ("", "#app", "no element"),
            ("<div id=\"app", "#app", "no element"),
        ] {
            let error = filled(template, Some(outlet)).unwrap_err();
            assert!(error.contains(part), "{template}: {error}");
        }
    }
}
