//! The order of the modules, checked in the sources: data flows one way, and a module uses only
//! those before it.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// The folders of `src`, each of which uses only itself and those before it.
const MODULES: [&str; 11] = [
    "files",
    "dataset",
    "network",
    "weights",
    "training",
    "experiments",
    "reading",
    "output",
    "batch",
    "server",
    "commands",
];
/// Crates that a folder does without.
const WITHOUT: [(&str, &[&str]); 7] = [
    ("crates/mnist-image/src", &["tch", "tch_mnist", "torch_sys", "clap", "anyhow"]),
    ("src/files", &["tch"]),
    ("src/weights", &["tch"]),
    ("src/reading", &["tch"]),
    ("src/output", &["tch"]),
    ("src/batch", &["tch"]),
    ("src/server", &["tch"]),
];
/// The one file of those folders that does with tch what they do without.
const KNOWS_TCH: &str = "src/weights/varstore.rs";
const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 80;

/// The start of a path in a source: `crate::files`, or `tch` of `tch::Tensor`.
#[derive(Debug, PartialEq)]
struct Start {
    line: usize,
    /// Whether it begins at the root of this crate.
    own: bool,
    name: String,
}

/// Every path in `tokens`, which are in a module `depth` levels below the root of its crate; in
/// macros and behind attributes, too.
fn starts(tokens: TokenStream, depth: usize, found: &mut Vec<Start>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => {
                let is_module = at >= 2
                    && group.delimiter() == Delimiter::Brace
                    && matches!(&tokens[at - 2], TokenTree::Ident(ident) if ident == "mod");
                starts(group.stream(), depth + usize::from(is_module), found);
                at += 1;
            }
            TokenTree::Ident(ident) => at = path(&tokens, at, ident, depth, found),
            _ => at += 1,
        }
    }
}

/// The path that begins with the identifier at `at`; returns where to go on.
fn path(
    tokens: &[TokenTree],
    at: usize,
    first: &Ident,
    depth: usize,
    found: &mut Vec<Start>,
) -> usize {
    let first_name = first.to_string();
    let mut level = match first_name.as_str() {
        "crate" | "tch_mnist" => 0,
        "super" => depth.saturating_sub(1),
        "self" => depth,
        // `use ::tch::Tensor`: no path begins with a keyword but those above.
        _ if syn::parse_str::<Ident>(&first_name).is_err() => return at + 1,
        _ => {
            if colons(tokens, at + 1) {
                found.push(start(first.span(), false, &first_name));
            }
            return skip_path(tokens, at + 1);
        }
    };
    let is_root = |name: &str| name == "crate" || name == "tch_mnist";
    let renamed = matches!(tokens.get(at + 1), Some(TokenTree::Ident(next)) if next == "as");
    if is_root(&first_name) && renamed {
        found.push(start(first.span(), true, "*"));
    }
    let mut next = at + 1;
    while colons(tokens, next) {
        next += 2;
        match tokens.get(next) {
            Some(TokenTree::Ident(ident)) if ident == "super" => level = level.saturating_sub(1),
            Some(TokenTree::Ident(ident)) if level == 0 => {
                found.push(start(ident.span(), true, &ident.to_string()));
                return skip_path(tokens, next + 1);
            }
            Some(TokenTree::Group(group)) if level == 0 => {
                grouped(group.stream(), found);
                return next + 1;
            }
            Some(TokenTree::Punct(star)) if level == 0 && star.as_char() == '*' => {
                found.push(start(star.span(), true, "*"));
                return next + 1;
            }
            Some(TokenTree::Group(group)) => {
                // `super::{super::files, …}` goes on from where it is.
                starts(group.stream(), level, found);
                return next + 1;
            }
            _ => return skip_path(tokens, next),
        }
        next += 1;
    }
    next
}

/// What a group right below the root names: `crate::{files, output::{self, text}}`.
fn grouped(tokens: TokenStream, found: &mut Vec<Start>) {
    let mut is_first = true;
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => is_first = true,
            TokenTree::Ident(ident) if is_first => {
                let name = ident.to_string();
                found.push(start(ident.span(), true, if name == "self" { "*" } else { &name }));
                is_first = false;
            }
            TokenTree::Punct(punct) if is_first && punct.as_char() == '*' => {
                found.push(start(punct.span(), true, "*"));
                is_first = false;
            }
            _ => {}
        }
    }
}

fn start(span: Span, own: bool, name: &str) -> Start {
    Start { line: span.start().line, own, name: name.into() }
}

fn colons(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(tokens.get(at)) && colon(tokens.get(at + 1))
}

/// Passes over the rest of a path, up to a group, which is looked into.
fn skip_path(tokens: &[TokenTree], mut at: usize) -> usize {
    while colons(tokens, at) {
        at += 2;
        match tokens.get(at) {
            Some(TokenTree::Ident(_)) => at += 1,
            _ => return at,
        }
    }
    at
}

/// How deep below the root of its crate this file of `src` is, and the module it belongs to.
fn module(file: &Path) -> (usize, Option<String>) {
    let names: Vec<_> = file.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    match &names[..] {
        [_] => (0, None), // lib.rs and main.rs
        [folders @ .., last] if last == "mod.rs" => (folders.len(), Some(names[0].clone())),
        _ => (names.len(), Some(names[0].clone())),
    }
}

/// What is wrong in the source of a file of `src`, by line.
fn out_of_order(file: &Path, source: &str) -> Vec<(usize, String)> {
    let (depth, Some(module_name)) = module(file) else { return Vec::new() };
    let Some(own) = MODULES.iter().position(|name| *name == module_name) else {
        return vec![(1, format!("the module {module_name} is not in the order"))];
    };
    let mut found = Vec::new();
    starts(source.parse().expect("it compiles"), depth, &mut found);
    let wrong = |start: &Start| match MODULES.iter().position(|name| *name == start.name) {
        Some(other) => other > own,
        // Constants of the crate are everyone's.
        None => !start.name.starts_with(char::is_uppercase),
    };
    let found = found.into_iter().filter(|start| start.own && wrong(start));
    found.map(|start| (start.line, format!("{module_name} uses {}", start.name))).collect()
}

/// The lines on which the source uses one of these crates.
fn uses(source: &str, crates: &[&str]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    starts(source.parse().expect("it compiles"), usize::MAX / 2, &mut found);
    let names = |name: &str| crates.contains(&name);
    found
        .into_iter()
        .filter(|start| !start.own && names(&start.name))
        .map(|start| (start.line, format!("uses the crate {}", start.name)))
        .collect()
}

/// The functions of more than `most` lines, from `fn` to the closing brace.
fn long_functions(source: &str, most: usize) -> Vec<(usize, String)> {
    struct Functions(usize, Vec<(usize, String)>);
    impl Functions {
        fn look(&mut self, signature: &syn::Signature, block: &syn::Block) {
            let start = signature.fn_token.span.start().line;
            let lines = block.brace_token.span.close().end().line + 1 - start;
            if lines > self.0 {
                self.1.push((start, format!("fn {} has {lines} lines", signature.ident)));
            }
        }
    }
    impl<'ast> Visit<'ast> for Functions {
        fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
            self.look(&function.sig, &function.block);
            visit::visit_item_fn(self, function);
        }
        fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
            self.look(&function.sig, &function.block);
            visit::visit_impl_item_fn(self, function);
        }
        fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
            if let Some(block) = &function.default {
                self.look(&function.sig, block);
            }
            visit::visit_trait_item_fn(self, function);
        }
    }
    let mut functions = Functions(most, Vec::new());
    functions.visit_file(&syn::parse_file(source).expect("it compiles"));
    functions.1
}

/// All sources in a folder of the repository and below, with what they hold.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn below(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                found.push((path, source));
            }
        }
    }
    let mut found = Vec::new();
    below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    assert!(!found.is_empty(), "{folder}");
    found.sort();
    found
}

/// Fails with the offending lines.
fn assert_none(found: impl Iterator<Item = (PathBuf, Vec<(usize, String)>)>) {
    let lines = |(path, wrong): (PathBuf, Vec<(usize, String)>)| {
        let line = move |(line, what)| format!("{}:{line}: {what}\n", path.display());
        wrong.into_iter().map(line).collect::<String>()
    };
    let wrong: String = found.map(lines).collect();
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn no_module_uses_a_later_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    assert_none(sources("src").into_iter().map(|(path, source)| {
        let wrong = out_of_order(path.strip_prefix(&root).unwrap(), &source);
        (path, wrong)
    }));
}

#[test]
fn what_is_plain_knows_no_tensors_and_mnist_image_no_program() {
    for (folder, crates) in WITHOUT {
        let others = sources(folder).into_iter().filter(|(path, _)| !path.ends_with(KNOWS_TCH));
        assert_none(others.map(|(path, source)| {
            let wrong = uses(&source, crates);
            (path, wrong)
        }));
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/mnist-image/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let (_, crates) = WITHOUT[0];
    let name =
        |line: &str| line.split(['.', ' ', '=']).next().unwrap_or_default().replace('-', "_");
    let wrong: Vec<_> =
        manifest.lines().filter(|line| crates.contains(&name(line).as_str())).collect();
    assert!(wrong.is_empty(), "mnist-image depends on {wrong:?}");
}

#[test]
fn files_and_functions_are_short_enough_to_be_read_at_once() {
    assert_none(["src", "crates"].into_iter().flat_map(sources).map(|(path, source)| {
        let lines = source.lines().count();
        let mut wrong = long_functions(&source, MAX_FUNCTION_LINES);
        if lines > MAX_FILE_LINES {
            wrong.push((lines, format!("the file has {lines} lines")));
        }
        (path, wrong)
    }));
}

#[test]
fn a_use_of_a_later_module_is_found_however_it_is_written() {
    let wrong = |source: &str| out_of_order(Path::new("network/model.rs"), source);
    for source in [
        "use crate::output::text;",
        "use crate::{files::input, output::text};",
        "use crate::{\n    files,\n    output,\n};",
        "use super::super::output::text;",
        "use super::super::{files, output};",
        "use super::{super::output, device};",
        "use tch_mnist::output::text;",
        "use crate::*;",
        "use crate as all;",
        "use crate::{self as all};",
        "fn f() { crate::output::text::error(); }",
        "fn f(x: &crate::commands::Args) {}",
        "fn f() { println!(\"{}\", crate::output::VERSION); }",
        "fn f() { super::super::output::text::error(); }",
        "mod tests { use super::super::super::output; }",
        "mod tests { use crate::output; }",
        "#[cfg(test)] mod tests { fn f() { let x = crate::output::text(); } }",
        "macro_rules! m { () => { crate::output::text() } }",
        "use crate::server::page;",
    ] {
        assert_eq!(wrong(source).len(), 1, "{source}: {:?}", wrong(source));
    }
    assert_eq!(wrong("\n\nuse crate::output::text;"), [(3, "network uses output".into())]);
    for source in [
        "use crate::files::input;\nuse crate::dataset;",
        "use crate::network::device;",
        "use crate::{CLASSES, PIXELS};",
        "use super::device;",
        "use super::super::files;",
        "use self::output::text;",
        "use super::{device, output};",
        "use other::output::text;",
        "pub(crate) fn output() {}",
        "pub(in crate::network) fn output() {}",
        "mod tests { use super::super::output; }",
        "fn f() { let output = 1; }",
        "//! [`crate::output`]",
        "const A: &str = \"crate::output\";",
    ] {
        assert_eq!(wrong(source), [], "{source}");
    }
    assert_eq!(out_of_order(Path::new("network/mod.rs"), "use super::output;").len(), 1);
    assert_eq!(out_of_order(Path::new("network/a/b.rs"), "use super::super::output;"), []);
    assert_eq!(
        out_of_order(Path::new("network/a/b.rs"), "use super::super::super::output;").len(),
        1
    );
    assert_eq!(out_of_order(Path::new("commands/cli.rs"), "use crate::output;"), []);
    assert_eq!(out_of_order(Path::new("unknown/mod.rs"), "").len(), 1, "it is in no order");
}

#[test]
fn a_use_of_a_crate_is_found_however_it_is_written() {
    for source in [
        "use tch::Tensor;",
        "use ::tch::Tensor;",
        "use {std::fmt, tch::Tensor};",
        "fn f(x: &tch::Tensor) {}",
        "fn f() { vec![tch::Device::Cpu]; }",
    ] {
        assert_eq!(uses(source, &["tch"]), [(1, "uses the crate tch".into())], "{source}");
    }
    for source in
        ["use crate::tch::Tensor;", "use a::tch::Tensor;", "fn tch() {}", "// tch::Tensor"]
    {
        assert_eq!(uses(source, &["tch"]), [], "{source}");
    }
}

#[test]
fn a_long_function_is_found_wherever_it_is() {
    let body = "    f();\n".repeat(79);
    for source in [
        format!("fn long() {{\n{body}}}"),
        format!("/// Docs\n#[inline]\npub fn long() {{\n{body}}}"),
        format!("impl A {{\nfn long() {{\n{body}}}\n}}"),
        format!("trait A {{\nfn long() {{\n{body}}}\n}}"),
        format!("mod a {{ fn b() {{ fn long() {{\n{body}}} }} }}"),
    ] {
        let found = long_functions(&source, 80);
        assert!(
            found.iter().any(|(_, what)| what == "fn long has 81 lines"),
            "{source}: {found:?}"
        );
    }
    let body = "    f();\n".repeat(78);
    assert_eq!(long_functions(&format!("/// Docs\nfn short() {{\n{body}}}"), 80), []);
}
