//! `Predicate`: a condition that every configuration of a space meets, known beforehand and written as text:
//! `threads * chunk <= 1024`.
//!
//! The language, loosest first: `or`; `and`; `not`; one comparison (`< <= > >= == !=`); `+ -`; `* /`; unary `-`; then
//! numbers, `"text"` or `'text'`, `true`, `false`, parameters (`` `any name` `` in backticks where a name is no word),
//! parentheses, `min(..)`, `max(..)` and `log2(x)`. Numbers are real numbers: `7 / 2` is 3.5. A comparison with a
//! result that is not a number (`0 / 0`, `log2(-1)`) is false, except for `!=`, which is true. A mistake in the text is
//! an error when the predicate is made.

use super::domain::{Choices, Domain};
use super::value::Value;

/// The most words and signs of a predicate; with the nesting it bounds the depth of the recursions below.
const MOST_TOKENS: usize = 500;
/// The deepest nesting of parentheses and prefixes.
const DEEPEST: usize = 50;

/// Why a text is not a predicate of a space.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("predicate `{predicate}` is wrong at character {at}: {what}")]
#[non_exhaustive]
pub struct PredicateError {
    /// The text.
    pub predicate: String,
    /// The place, in characters from 1.
    pub at: usize,
    /// The mistake there.
    pub what: String,
}

/// A condition on the values of a space's parameters, which it knows by place.
#[derive(Debug, Clone)]
pub(super) struct Predicate {
    text: String,
    test: Test,
    /// The parameters it speaks of.
    about: Vec<usize>,
}

impl PartialEq for Predicate {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Predicate {
    /// Whether it speaks of this parameter.
    pub(super) fn is_about(&self, parameter: usize) -> bool {
        self.about.contains(&parameter)
    }

    /// The predicate in `text` over the parameters that `find` knows.
    pub(super) fn parse<'a>(
        text: &str,
        find: &dyn Fn(&str) -> Option<(usize, &'a Domain)>,
    ) -> Result<Self, PredicateError> {
        let wrong = |(byte, what): Wrong| {
            let at = text.get(..byte).map_or(0, |before| before.chars().count()) + 1;
            PredicateError { predicate: text.to_owned(), at, what }
        };
        let tokens = tokens(text).map_err(wrong)?;
        let mut parser = Parser { tokens, next: 0, end: text.len(), depth: 0, about: Vec::new(), find };
        let test = parser.whole().map_err(wrong)?;
        parser.about.sort_unstable();
        parser.about.dedup();
        Ok(Self { text: text.to_owned(), test, about: parser.about })
    }

    /// The text it was made from.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds for these values, which stand by place; it does where a parameter it speaks of has none.
    pub(super) fn holds<'v>(&self, value: &dyn Fn(usize) -> Option<&'v Value>) -> bool {
        self.about.iter().any(|index| value(*index).is_none()) || self.test.holds(value)
    }
}

/// The value of a parameter by place.
type Values<'f, 'v> = &'f dyn Fn(usize) -> Option<&'v Value>;

/// An expression with a number as its value.
#[derive(Debug, Clone)]
enum Number {
    Literal(f64),
    Parameter(usize),
    Negative(Box<Number>),
    Binary(char, Box<Number>, Box<Number>),
    Least(Vec<Number>),
    Largest(Vec<Number>),
    Log2(Box<Number>),
}

impl Number {
    fn of(&self, value: Values<'_, '_>) -> f64 {
        match self {
            Self::Literal(v) => *v,
            Self::Parameter(index) => value(*index).and_then(Value::as_f64).unwrap_or(f64::NAN),
            Self::Negative(a) => -a.of(value),
            Self::Binary(sign, a, b) => {
                let (a, b) = (a.of(value), b.of(value));
                match sign {
                    '+' => a + b,
                    '-' => a - b,
                    '*' => a * b,
                    _ => a / b,
                }
            }
            Self::Least(of) => of.iter().map(|a| a.of(value)).fold(f64::INFINITY, f64::min),
            Self::Largest(of) => of.iter().map(|a| a.of(value)).fold(f64::NEG_INFINITY, f64::max),
            Self::Log2(a) => a.of(value).log2(),
        }
    }
}

/// An expression with a text as its value.
#[derive(Debug, Clone)]
enum Word {
    Literal(String),
    Parameter(usize),
}

impl Word {
    fn of<'a, 'v: 'a>(&'a self, value: Values<'_, 'v>) -> Option<&'a str> {
        match self {
            Self::Literal(text) => Some(text),
            Self::Parameter(index) => value(*index).and_then(Value::as_str),
        }
    }
}

/// An expression that is true or false.
#[derive(Debug, Clone)]
enum Test {
    Literal(bool),
    Parameter(usize),
    Not(Box<Test>),
    All(Vec<Test>),
    Any(Vec<Test>),
    Compare(Sign, Number, Number),
    Same(bool, Word, Word),
    Agree(bool, Box<Test>, Box<Test>),
}

impl Test {
    fn holds(&self, value: Values<'_, '_>) -> bool {
        match self {
            Self::Literal(v) => *v,
            Self::Parameter(index) => value(*index).and_then(Value::as_bool) == Some(true),
            Self::Not(a) => !a.holds(value),
            Self::All(of) => of.iter().all(|a| a.holds(value)),
            Self::Any(of) => of.iter().any(|a| a.holds(value)),
            Self::Compare(sign, a, b) => sign.compare(a.of(value), b.of(value)),
            Self::Same(same, a, b) => (a.of(value) == b.of(value)) == *same,
            Self::Agree(same, a, b) => (a.holds(value) == b.holds(value)) == *same,
        }
    }
}

/// A comparison's sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Unequal,
}

impl Sign {
    fn of(text: &str) -> Option<Self> {
        Some(match text {
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">" => Self::More,
            ">=" => Self::AtLeast,
            "==" => Self::Equal,
            "!=" => Self::Unequal,
            _ => return None,
        })
    }

    fn compare(self, a: f64, b: f64) -> bool {
        match self {
            Self::Less => a < b,
            Self::AtMost => a <= b,
            Self::More => a > b,
            Self::AtLeast => a >= b,
            Self::Equal => a == b,
            Self::Unequal => a != b,
        }
    }
}

/// The byte of the mistake, and the mistake.
type Wrong = (usize, String);

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Name(String),
    /// A name in backticks: never a word of the language.
    Quoted(String),
    Sign(&'static str),
}

const SIGNS: [&str; 13] = ["<=", ">=", "==", "!=", "<", ">", "+", "-", "*", "/", "(", ")", ","];

/// The words and signs of a text, each with the byte it starts at.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Wrong> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let until = |end: fn(char) -> bool| rest.find(end).unwrap_or(rest.len());
        let (token, length) = match first {
            _ if first.is_whitespace() => {
                at += first.len_utf8();
                continue;
            }
            '0'..='9' | '.' => {
                let length = number_length(rest);
                let digits = &rest[..length];
                let value: f64 = digits.parse().map_err(|_| (at, format!("`{digits}` is not a number")))?;
                if !value.is_finite() {
                    return Err((at, format!("`{digits}` is too large")));
                }
                (Token::Number(value), length)
            }
            '"' | '\'' | '`' => {
                let inside = &rest[1..];
                let end = inside.find(first).ok_or_else(|| (at, format!("this {first} is not closed")))?;
                let inner = inside[..end].to_owned();
                (if first == '`' { Token::Quoted(inner) } else { Token::Text(inner) }, end + 2)
            }
            _ if first.is_alphabetic() || first == '_' => {
                let length = until(|c| !(c.is_alphanumeric() || c == '_' || c == '.'));
                (Token::Name(rest[..length].to_owned()), length)
            }
            _ => match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None if first == '=' => return Err((at, "`=` is not a comparison; write `==`".to_owned())),
                None => return Err((at, format!("`{first}` is not allowed here"))),
            },
        };
        tokens.push((at, token));
        if tokens.len() > MOST_TOKENS {
            return Err((at, format!("it is too long; use at most {MOST_TOKENS} words and signs")));
        }
        at += length;
    }
    Ok(tokens)
}

/// The length of the number at the start of a text: digits, a point, digits, an exponent.
fn number_length(text: &str) -> usize {
    let digits = |from: usize| text[from..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |n| from + n);
    let mut end = digits(0);
    if text[end..].starts_with('.') {
        end = digits(end + 1);
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let after = digits(end + 1 + sign);
        if after > end + 1 + sign {
            end = after;
        }
    }
    end
}

/// A part of a predicate, by its kind.
enum Part {
    Number(Number),
    Word(Word),
    Test(Test),
}

impl Part {
    fn kind(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Word(_) => "a text",
            Self::Test(_) => "true or false",
        }
    }

    fn number(self, at: usize) -> Result<Number, Wrong> {
        match self {
            Self::Number(n) => Ok(n),
            other => Err((at, format!("a number is needed here, this is {}", other.kind()))),
        }
    }

    fn test(self, at: usize) -> Result<Test, Wrong> {
        match self {
            Self::Test(t) => Ok(t),
            other => Err((at, format!("something true or false is needed here, this is {}", other.kind()))),
        }
    }
}

/// Recursive descent, one method a level of the language.
struct Parser<'a, 'f> {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
    depth: usize,
    about: Vec<usize>,
    find: &'f dyn Fn(&str) -> Option<(usize, &'a Domain)>,
}

impl Parser<'_, '_> {
    fn whole(&mut self) -> Result<Test, Wrong> {
        let at = self.at();
        let test = self.any()?.test(at)?;
        match self.tokens.get(self.next) {
            Some((at, _)) => Err((*at, "something is missing before this".to_owned())),
            None => Ok(test),
        }
    }

    /// The byte of the next token.
    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    /// Takes the next token if it is this sign or this word.
    fn take(&mut self, wanted: &str) -> bool {
        let found = match self.peek() {
            Some(Token::Sign(sign)) => *sign == wanted,
            Some(Token::Name(name)) => name == wanted,
            _ => false,
        };
        self.next += usize::from(found);
        found
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Wrong>) -> Result<T, Wrong> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err((self.at(), format!("this is nested too deeply; at most {DEEPEST} levels are read")));
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn any(&mut self) -> Result<Part, Wrong> {
        self.joined("or", Self::all, Test::Any)
    }

    fn all(&mut self) -> Result<Part, Wrong> {
        self.joined("and", Self::inverted, Test::All)
    }

    fn joined(
        &mut self,
        word: &str,
        level: fn(&mut Self) -> Result<Part, Wrong>,
        join: fn(Vec<Test>) -> Test,
    ) -> Result<Part, Wrong> {
        let at = self.at();
        let first = level(self)?;
        if !self.take(word) {
            return Ok(first);
        }
        let mut tests = vec![first.test(at)?];
        loop {
            let at = self.at();
            tests.push(level(self)?.test(at)?);
            if !self.take(word) {
                return Ok(Part::Test(join(tests)));
            }
        }
    }

    fn inverted(&mut self) -> Result<Part, Wrong> {
        if !self.take("not") {
            return self.comparison();
        }
        let at = self.at();
        let test = self.deeper(Self::inverted)?.test(at)?;
        Ok(Part::Test(Test::Not(Box::new(test))))
    }

    fn sign(&mut self) -> Option<Sign> {
        let Some(Token::Sign(text)) = self.peek() else { return None };
        let sign = Sign::of(text)?;
        self.next += 1;
        Some(sign)
    }

    fn comparison(&mut self) -> Result<Part, Wrong> {
        let left_at = self.at();
        let left = self.sum()?;
        let sign_at = self.at();
        let Some(sign) = self.sign() else { return Ok(left) };
        let right_at = self.at();
        let right = self.sum()?;
        let third_at = self.at();
        if self.sign().is_some() {
            return Err((third_at, "comparisons do not chain; join two with `and`".to_owned()));
        }
        let same = match sign {
            Sign::Equal => Some(true),
            Sign::Unequal => Some(false),
            _ => None,
        };
        Ok(Part::Test(match (left, right, same) {
            (Part::Number(a), Part::Number(b), _) => Test::Compare(sign, a, b),
            (Part::Word(a), Part::Word(b), Some(same)) => {
                self.check_word(&a, &b, right_at)?;
                self.check_word(&b, &a, left_at)?;
                Test::Same(same, a, b)
            }
            (Part::Test(a), Part::Test(b), Some(same)) => Test::Agree(same, Box::new(a), Box::new(b)),
            (a, b, None) if a.kind() == b.kind() => {
                return Err((sign_at, format!("{} has no order; only == and != apply", a.kind())));
            }
            (a, b, _) => return Err((sign_at, format!("{} is never {}", a.kind(), b.kind()))),
        }))
    }

    /// A text that the parameter beside it never has is a slip of the pen.
    fn check_word(&self, parameter: &Word, literal: &Word, at: usize) -> Result<(), Wrong> {
        let (Word::Parameter(index), Word::Literal(text)) = (parameter, literal) else { return Ok(()) };
        let mut names = self.tokens.iter().filter_map(|(_, t)| match t {
            Token::Name(name) | Token::Quoted(name) => Some(name),
            _ => None,
        });
        let found = names.find_map(|name| (self.find)(name).filter(|(i, _)| i == index));
        match found {
            Some((_, domain)) if !domain.contains(&Value::Text(text.clone())) => {
                Err((at, format!("\"{text}\" is not {}", domain.allows())))
            }
            _ => Ok(()),
        }
    }

    fn sum(&mut self) -> Result<Part, Wrong> {
        self.chain(&['+', '-'], Self::product)
    }

    fn product(&mut self) -> Result<Part, Wrong> {
        self.chain(&['*', '/'], Self::signed)
    }

    fn chain(&mut self, signs: &[char], level: fn(&mut Self) -> Result<Part, Wrong>) -> Result<Part, Wrong> {
        let at = self.at();
        let mut left = level(self)?;
        while let Some(sign) = signs.iter().copied().find(|sign| self.take(sign.encode_utf8(&mut [0; 4]))) {
            let a = left.number(at)?;
            let right_at = self.at();
            let b = level(self)?.number(right_at)?;
            left = Part::Number(Number::Binary(sign, Box::new(a), Box::new(b)));
        }
        Ok(left)
    }

    fn signed(&mut self) -> Result<Part, Wrong> {
        if !self.take("-") {
            return self.single();
        }
        let at = self.at();
        let number = self.deeper(Self::signed)?.number(at)?;
        Ok(Part::Number(Number::Negative(Box::new(number))))
    }

    fn single(&mut self) -> Result<Part, Wrong> {
        let at = self.at();
        let Some(token) = self.peek().cloned() else {
            return Err((at, "something is missing at the end".to_owned()));
        };
        self.next += 1;
        match token {
            Token::Number(v) => Ok(Part::Number(Number::Literal(v))),
            Token::Text(text) => Ok(Part::Word(Word::Literal(text))),
            Token::Quoted(name) => self.parameter(&name, at),
            Token::Sign("(") => {
                let inner = self.deeper(Self::any)?;
                self.close(at)?;
                Ok(inner)
            }
            Token::Sign(sign) => Err((at, format!("something is missing before `{sign}`"))),
            Token::Name(name) => match name.as_str() {
                "true" => Ok(Part::Test(Test::Literal(true))),
                "false" => Ok(Part::Test(Test::Literal(false))),
                "and" | "or" => Err((at, format!("something is missing before `{name}`"))),
                "not" => Err((at, "`not` must be in parentheses here".to_owned())),
                "min" | "max" | "log2" if self.take("(") => self.call(&name, at),
                _ => self.parameter(&name, at),
            },
        }
    }

    fn close(&mut self, opened: usize) -> Result<(), Wrong> {
        if self.take(")") { Ok(()) } else { Err((opened, "this is not closed with `)`".to_owned())) }
    }

    fn call(&mut self, name: &str, at: usize) -> Result<Part, Wrong> {
        let mut arguments = Vec::new();
        loop {
            let argument_at = self.at();
            arguments.push(self.deeper(Self::any)?.number(argument_at)?);
            if !self.take(",") {
                break;
            }
        }
        self.close(at)?;
        Ok(Part::Number(match name {
            "min" => Number::Least(arguments),
            "max" => Number::Largest(arguments),
            _ if arguments.len() == 1 => Number::Log2(Box::new(arguments.remove(0))),
            _ => return Err((at, format!("log2 takes one number, not {}", arguments.len()))),
        }))
    }

    fn parameter(&mut self, name: &str, at: usize) -> Result<Part, Wrong> {
        let (index, domain) = (self.find)(name).ok_or_else(|| (at, format!("there is no parameter `{name}`")))?;
        self.about.push(index);
        let all = |choices: &Choices, is: fn(&Value) -> bool| choices.values().iter().all(is);
        match domain {
            Domain::Float(_) | Domain::Int(_) => Ok(Part::Number(Number::Parameter(index))),
            Domain::Bool => Ok(Part::Test(Test::Parameter(index))),
            Domain::Categorical(c) | Domain::Ordinal(c) => {
                if all(c, |v| v.as_f64().is_some()) {
                    Ok(Part::Number(Number::Parameter(index)))
                } else if all(c, |v| v.as_str().is_some()) {
                    Ok(Part::Word(Word::Parameter(index)))
                } else if all(c, |v| v.as_bool().is_some()) {
                    Ok(Part::Test(Test::Parameter(index)))
                } else {
                    Err((at, format!("the values of `{name}` are of several kinds; give it all numbers or all texts")))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains() -> Vec<(&'static str, Domain)> {
        vec![
            ("a", Domain::int(0, 100).unwrap()),
            ("b", Domain::float(-100.0, 100.0).unwrap()),
            ("kind", Domain::categorical(["x", "y"]).unwrap()),
            ("on", Domain::Bool),
            ("part size", Domain::ordinal([1, 4, 16]).unwrap()),
            ("mixed", Domain::categorical([Value::Int(1), Value::from("x")]).unwrap()),
        ]
    }

    fn parse(text: &str) -> Result<Predicate, PredicateError> {
        let domains = domains();
        Predicate::parse(text, &|name| {
            domains.iter().enumerate().find(|(_, (n, _))| *n == name).map(|(i, (_, d))| (i, d))
        })
    }

    fn holds(text: &str) -> bool {
        let values =
            [Value::Int(6), Value::Float(-2.5), Value::from("x"), Value::Bool(true), Value::Int(4), Value::Int(1)];
        parse(text).unwrap_or_else(|e| panic!("{e}")).holds(&|index| values.get(index))
    }

    #[test]
    fn precedence_is_the_usual() {
        for text in [
            "a == 6",
            "2 + 3 * 4 == 14",
            "(2 + 3) * 4 == 20",
            "20 / 4 / 5 == 1",
            "10 - 4 - 3 == 3",
            "-2 * -3 == 6",
            "2 - -2 == 4",
            "- - a == 6",
            "7 / 2 == 3.5",
            "1.5e1 == 15 and .5 == 0.5 and 2e-1 == 0.2",
            "true or false and false",
            "not false and true",
            "not (a < 6)",
            "not a < 6",
            "not not on",
            "on and kind == 'x' or kind == \"y\"",
            "on == true and on != false",
            "kind != 'y'",
            "(a < 5) == (b > 0)",
            "a * `part size` <= 24",
            "min(a, 3, b) == b and max(a, b) == a and log2(`part size`) == 2",
            "a>=6and b<=-2.5",
        ] {
            assert!(holds(text), "{text}");
        }
        for text in
            ["false and false or false", "a < 6 or a > 6", "not on", "0 / 0 == 0 / 0", "log2(b) < 9", "kind == 'y'"]
        {
            assert!(!holds(text), "{text}");
        }
        assert!(holds("0 / 0 != 0 / 0"));
    }

    #[test]
    fn an_error_says_what_is_wrong_and_where() {
        for (text, at, what) in [
            ("", 1, "missing at the end"),
            ("a", 1, "true or false is needed here, this is a number"),
            ("a +", 4, "missing at the end"),
            ("a + * 2 < 1", 5, "missing before `*`"),
            ("a <= 1 <= 2", 8, "do not chain"),
            ("a = 1", 3, "write `==`"),
            ("c < 1", 1, "no parameter `c`"),
            ("a < 1 b", 7, "missing before this"),
            ("(a < 1", 1, "not closed with `)`"),
            ("kind == 'x", 9, "not closed"),
            ("kind == 'z'", 9, "\"z\" is not one of x, y"),
            ("'z' == kind", 1, "\"z\" is not one of x, y"),
            ("kind < 'x'", 6, "has no order"),
            ("kind == 1", 6, "a text is never a number"),
            ("on + 1 < 2", 1, "a number is needed here, this is true or false"),
            ("a and on", 1, "this is a number"),
            ("mixed == 1", 1, "several kinds"),
            ("log2(1, 2) < 3", 1, "one number, not 2"),
            ("ä < 1 # 2", 7, "not allowed here"),
            ("1e999 < a", 1, "too large"),
            ("1 + not on", 5, "parentheses"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.at == at && error.what.contains(what), "{text}: {error}");
        }
        for (open, close) in [("(", ")"), ("-", ""), ("not ", ""), ("min(", ")")] {
            let deep = format!("{}a{} < 1", open.repeat(100), close.repeat(100));
            assert!(parse(&deep).unwrap_err().what.contains("too deeply"), "{open}");
        }
        assert!(parse(&format!("a{} < 1", " + a".repeat(300))).unwrap_err().what.contains("too long"));
    }

    #[test]
    fn it_holds_where_a_parameter_it_speaks_of_is_absent() {
        let predicate = parse("a < 0 and b < 0").unwrap();
        assert!(predicate.holds(&|_| None));
        let (no, yes) = (Value::Int(1), Value::Float(1.0));
        assert!(predicate.holds(&|index| [None, Some(&yes)][index]));
        assert!(!predicate.holds(&|index| [Some(&no), Some(&yes)][index]));
    }
}
