//! The Rust functions that can be called: plain or async, with or without a [`Context`], returning a value or a
//! [`UserResult`].

use crate::context::Context;
use kinglet_core::Value;
use kinglet_core::{UserError, UserResult};
use std::future::Future;

/// A function that can be called on a stack.
///
/// It takes one input, optionally with a [`Context`] before it, and returns a value or a [`UserResult`] of one. It may be
/// `async`; then it takes its `Context` by value. Inputs and values are anything that serde can write and read.
///
/// ```
/// # use kinglet_calls::{Context, Function};
/// # use kinglet_core::UserResult;
/// fn square(n: u64) -> u64 {
///     n * n
/// }
/// fn parse(text: String) -> UserResult<i64> {
///     Ok(text.parse()?)
/// }
/// fn count(context: &Context, words: Vec<String>) -> u64 {
///     context.log(format!("{} words", words.len()));
///     words.len() as u64
/// }
/// async fn size(context: Context, uri: String) -> UserResult<usize> {
///     Ok(context.get(&uri).await?.len())
/// }
/// # fn is<M, F: Function<M>>(_: F) {}
/// # is(square); is(parse); is(count); is(size);
/// ```
///
/// It must be a function item or a closure that captures nothing, not a function pointer, as it is known by its type. Its input
/// and its value must be able to travel:
///
/// ```compile_fail
/// # use kinglet_calls::Function;
/// # fn is<M, F: Function<M>>(_: F) {}
/// fn no_value(n: u64) -> std::rc::Rc<u64> {
///     n.into()
/// }
/// is(no_value); // an `Rc` cannot travel
/// ```
///
/// `M` only tells the kinds of function apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be called on a stack",
    note = "it needs to be a `fn` or `async fn` of one input, with or without a `Context` before it (`&Context`, or `Context` for an `async fn`)",
    note = "its input and what it returns must be serialisable values, or it returns `UserResult` of one"
)]
pub trait Function<M>: Copy + Send + Sync + 'static {
    /// The type of its input.
    type Input: Value;
    /// The type of the value that it returns if it does not fail.
    type Output: Value;

    /// Calls the function on this thread and waits for it.
    ///
    /// # Errors
    /// Returns the error that the function returns.
    fn call(self, context: &Context, input: Self::Input) -> UserResult<Self::Output>;
}

/// The kinds of function, for [`Function`]'s parameter.
pub mod marker {
    use std::marker::PhantomData;
    macro_rules! markers {
        ($($name:ident)*) => { $(
            /// A kind of function.
            pub struct $name<I, O>(PhantomData<fn(I) -> O>);
        )* };
    }
    markers! { Plain PlainResult WithContext WithContextResult Async AsyncResult AsyncContext AsyncContextResult }
}

impl<F, I, O> Function<marker::Plain<I, O>> for F
where
    F: Fn(I) -> O + Copy + Send + Sync + 'static,
    I: Value,
    O: Value,
{
    type Input = I;
    type Output = O;
    fn call(self, _: &Context, input: I) -> UserResult<O> {
        Ok(self(input))
    }
}

impl<F, I, O> Function<marker::PlainResult<I, O>> for F
where
    F: Fn(I) -> Result<O, UserError> + Copy + Send + Sync + 'static,
    I: Value,
    O: Value,
{
    type Input = I;
    type Output = O;
    fn call(self, _: &Context, input: I) -> UserResult<O> {
        self(input)
    }
}

impl<F, I, O> Function<marker::WithContext<I, O>> for F
where
    F: Fn(&Context, I) -> O + Copy + Send + Sync + 'static,
    I: Value,
    O: Value,
{
    type Input = I;
    type Output = O;
    fn call(self, context: &Context, input: I) -> UserResult<O> {
        Ok(self(context, input))
    }
}

impl<F, I, O> Function<marker::WithContextResult<I, O>> for F
where
    F: Fn(&Context, I) -> Result<O, UserError> + Copy + Send + Sync + 'static,
    I: Value,
    O: Value,
{
    type Input = I;
    type Output = O;
    fn call(self, context: &Context, input: I) -> UserResult<O> {
        self(context, input)
    }
}

impl<F, I, O, W> Function<marker::Async<(I, W), O>> for F
where
    F: Fn(I) -> W + Copy + Send + Sync + 'static,
    W: Future<Output = O> + Send + 'static,
    I: Value,
    O: Value,
{
    type Input = I;
    type Output = O;
    fn call(self, context: &Context, input: I) -> UserResult<O> {
        Ok(context.wait(self(input)))
    }
}

impl<F, I, O, W> Function<marker::AsyncResult<(I, W), O>> for F
where
    F: Fn(I) -> W + Copy + Send + Sync + 'static,
    W: Future<Output = Result<O, UserError>> + Send + 'static,
    I: Value,
    O: Value,
{
    type Input = I;
    type Output = O;
    fn call(self, context: &Context, input: I) -> UserResult<O> {
        context.wait(self(input))
    }
}

impl<F, I, O, W> Function<marker::AsyncContext<(I, W), O>> for F
where
    F: Fn(Context, I) -> W + Copy + Send + Sync + 'static,
    W: Future<Output = O> + Send + 'static,
    I: Value,
    O: Value,
{
    type Input = I;
    type Output = O;
    fn call(self, context: &Context, input: I) -> UserResult<O> {
        Ok(context.wait(self(context.clone(), input)))
    }
}

impl<F, I, O, W> Function<marker::AsyncContextResult<(I, W), O>> for F
where
    F: Fn(Context, I) -> W + Copy + Send + Sync + 'static,
    W: Future<Output = Result<O, UserError>> + Send + 'static,
    I: Value,
    O: Value,
{
    type Input = I;
    type Output = O;
    fn call(self, context: &Context, input: I) -> UserResult<O> {
        context.wait(self(context.clone(), input))
    }
}
