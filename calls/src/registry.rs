//! A program's functions, by name and by type.

use crate::context::Context;
use crate::function::Function;
use kinglet_core::{Code, Error, Result, codec};
use std::any::{TypeId, type_name};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A function without its types: it takes an encoded input and returns an encoded value.
pub type Body = dyn Fn(&Context, &[u8]) -> Result<Vec<u8>> + Send + Sync;

struct Registered {
    body: Arc<Body>,
    signature: String,
    type_id: TypeId,
}

/// A function as a worker calls it.
pub type Opened = Arc<Body>;

/// The functions of a program. Each has a unique name: its path in the program without the crate's name, or one that was
/// given.
#[derive(Default)]
pub struct Functions {
    by_name: BTreeMap<String, Registered>,
    by_type: HashMap<TypeId, String>,
    clash: Option<Error>,
}

/// Rejects function pointers at compile time: functions are told apart by their types, and a pointer's type does not tell which
/// function it points to.
const fn is_a_function_of_its_own_type<F>() {
    assert!(
        size_of::<F>() == 0,
        "name the function itself, or a closure that captures nothing: not a function pointer or a closure that captures"
    );
}

impl Functions {
    /// Makes a registry without functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function under its path in the program.
    #[must_use]
    pub fn function<M, F: Function<M>>(self, function: F) -> Self {
        let path = type_name::<F>();
        let name = path.split_once("::").map_or(path, |(_, rest)| rest).to_owned();
        self.named(&name, function)
    }

    /// Adds a function under this name.
    #[must_use]
    pub fn named<M, F: Function<M>>(mut self, name: &str, function: F) -> Self {
        const { is_a_function_of_its_own_type::<F>() };
        let type_id = TypeId::of::<F>();
        if self.by_name.get(name).is_some_and(|there| there.type_id != type_id) {
            let error = Error::new(Code::FunctionNameTaken, format!("two functions are registered as {name:?}"));
            let hint = "give one of them a name of its own: `.named_function(\"name\", function)`";
            self.clash.get_or_insert(error.with_hint(hint));
            return self;
        }
        let body = move |context: &Context, input: &[u8]| {
            let input = codec::decode::<F::Input>(input).map_err(|e| {
                Error::new(Code::CallInput, format!("reading the input: {e}"))
                    .with_hint("the functions hold another version of the input's type: build or deploy them again")
            })?;
            let value = function.call(context, input).map_err(|e| e.into_error(Code::CallFailed))?;
            codec::encode(&value)
        };
        let registered = Registered { body: Arc::new(body), signature: signature::<M, F>(), type_id };
        self.by_name.insert(name.to_owned(), registered);
        self.by_type.insert(type_id, name.to_owned());
        self
    }

    /// Returns the names of the functions, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Checks that no two functions have the same name.
    ///
    /// # Errors
    /// Returns [`Error::Input`] (`function-name-taken`) when two have.
    pub fn check(&self) -> Result<()> {
        self.clash.clone().map_or(Ok(()), Err)
    }

    /// Returns the name and the signature of a function.
    ///
    /// # Errors
    /// Returns [`Error::Input`] when the function is not registered (`function-not-registered`) or two have the same name
    /// (`function-name-taken`).
    pub fn find<M, F: Function<M>>(&self, _: F) -> Result<(String, String)> {
        const { is_a_function_of_its_own_type::<F>() };
        self.check()?;
        let name = self.by_type.get(&TypeId::of::<F>()).ok_or_else(|| {
            Error::new(Code::FunctionNotRegistered, format!("the function {} is not registered", type_name::<F>()))
                .with_hint("register it in `main`: `Registry::new().function(your_function)`")
        })?;
        Ok((name.clone(), signature::<M, F>()))
    }

    /// Returns the function of this name.
    ///
    /// # Errors
    /// Returns [`Error::Input`] when no function has the name (`function-not-registered`) or two have the same
    /// (`function-name-taken`), and [`Error::StaleDeployment`] (`function-types`) when its types are those of another version.
    pub fn open(&self, name: &str, signature: &str) -> Result<Opened> {
        self.check()?;
        let Some(found) = self.by_name.get(name) else {
            let known: Vec<_> = self.names().collect();
            let message = format!("no function named {name:?} is registered in the functions ({})", known.join(", "));
            return Err(Error::new(Code::FunctionNotRegistered, message)
                .with_hint("build or deploy the functions again, with the same program as the driver's"));
        };
        if found.signature != signature {
            let message =
                format!("function {name} is {} in the functions, but {signature} in the driver", found.signature);
            return Err(Error::new(Code::FunctionTypes, message)
                .with_hint("driver and functions hold different versions of it: build or deploy the functions again"));
        }
        Ok(found.body.clone())
    }
}

/// Returns a function's types as text, by which a driver and a worker see whether they mean the same function.
fn signature<M, F: Function<M>>() -> String {
    format!("fn({}) -> {}", type_name::<F::Input>(), type_name::<F::Output>())
}

/// Returns whether a function of this signature returns an `O`. A worker compares whole signatures; a reader of results only
/// needs to know the type of these.
pub fn returns<O>(signature: &str) -> bool {
    signature.ends_with(&format!(") -> {}", type_name::<O>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_core::UserResult;

    fn square(n: u64) -> u64 {
        n * n
    }
    mod other {
        pub(super) fn square(n: u32) -> u32 {
            n
        }
    }
    fn fails(text: String) -> UserResult<u64> {
        Ok(text.parse()?)
    }

    #[test]
    fn functions_are_known_by_their_paths_or_by_given_names() {
        let functions = Functions::new().function(square).function(other::square).named("parse", fails);
        assert!(functions.check().is_ok());
        let names: Vec<_> = functions.names().collect();
        assert_eq!(names, ["parse", "registry::tests::other::square", "registry::tests::square"]);
        let (name, signature) = functions.find(fails).unwrap();
        assert_eq!((&name[..], &signature[..]), ("parse", "fn(alloc::string::String) -> u64"));
        assert!(functions.open(&name, &signature).is_ok());
        assert!(returns::<u64>(&signature) && !returns::<u32>(&signature) && !returns::<String>(&signature));
        assert_eq!(functions.open(&name, "fn(u8) -> u64").err().unwrap().code(), "function-types");
        assert_eq!(functions.open("nobody", "").err().unwrap().code(), "function-not-registered");
    }

    #[test]
    fn two_functions_of_one_name_and_an_unregistered_one_are_errors() {
        let twice = Functions::new().function(square).function(square);
        assert!(twice.check().is_ok());
        let error = Functions::new().named("same", square).named("same", fails).check().unwrap_err();
        assert_eq!(error.code(), "function-name-taken");
        assert!(error.hint().unwrap().contains("named_function"));
        let error = twice.find(fails).unwrap_err();
        assert_eq!(error.code(), "function-not-registered");
        assert!(error.to_string().contains("tests::fails") && error.hint().unwrap().contains(".function("), "{error}");
    }
}
