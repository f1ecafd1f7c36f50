//! What `evaluate` is asked, written into a policy's memory as one block.
//!
//! The engine's own way asks the policy's `cabi_realloc` for each list and each text: some fifty
//! calls into the sandbox, which are a third of a verdict. Here their sizes are added up, the policy
//! is asked once, and everything is written where the canonical ABI of the component model wants
//! it. What is in the lists and texts is the same, and so is what the policy answers; a test has the
//! engine read back what is written.
//!
//! The lists and texts of a block are not pieces that an allocator knows. So this is for modules
//! that say that their allocator takes nothing back, and all others are asked the engine's way. What
//! a module says is not checked: one that is wrong about itself breaks its own memory, which it can
//! do without us. The server only ever writes into the memory of the instance, and the engine and
//! [`Block`] both see to it that it is inside of it.
//!
//! [`Lower`] is a trait that the engine implements for the types that derive it, and for nobody
//! else as far as it promises anything. A new version of the engine may need another [`InOneBlock`];
//! it does not compile then, or does not pass the test.

use crate::types::{Api, Application, Named, Request, Subject, Value};
use std::mem::MaybeUninit;
use wasmparser::{Parser, Payload};
use wasmtime::component::__internal::{
    CanonicalAbiInfo, ComponentVariant, InstanceType, InterfaceType, LowerContext,
};
use wasmtime::component::{ComponentNamedList, ComponentType, Lower};

/// The custom section in which a module says how it allocates, and what it says there when nothing
/// is ever given back. The SDK writes both (`sdk/policy/src/guest.rs`).
const ALLOCATOR: &str = "writ-policy-allocator";
const BUMP: &[u8] = b"bump";

/// Whether a module says that its allocator takes nothing back, so that lists and texts need not be
/// pieces of their own.
pub(crate) fn never_frees(module: &[u8]) -> bool {
    let payloads = Parser::new(0).parse_all(module).map_while(Result::ok);
    payloads.into_iter().any(|payload| {
        matches!(payload, Payload::CustomSection(section)
            if section.name() == ALLOCATOR && section.data() == BUMP)
    })
}

/// The parameters of `evaluate`: the request and the settings.
pub(crate) type Question<'a> = (&'a Request, &'a [Named]);

/// The same parameters, for a policy whose allocator takes nothing back.
pub(crate) struct InOneBlock<'a>(pub(crate) Question<'a>);

#[expect(
    unsafe_code,
    reason = "the engine's trait is unsafe: its code believes what these say"
)]
// SAFETY: all that the engine believes is what `Question` says, and that is its own implementation
// for tuples and for derived types: the flat form, the size, the alignment, the check of types.
unsafe impl<'a> ComponentType for InOneBlock<'a> {
    type Lower = <Question<'a> as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = <Question<'a> as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> wasmtime::Result<()> {
        <Question<'a> as ComponentType>::typecheck(ty, types)
    }
}

#[expect(unsafe_code, reason = "as above")]
// SAFETY: it stands for the tuple of parameters, whose check of types it has.
unsafe impl ComponentNamedList for InOneBlock<'_> {}

#[expect(unsafe_code, reason = "as above")]
// SAFETY: the flat form is initialized by the engine's own code. Linear memory is written through
// a slice of it alone, with every access checked.
unsafe impl Lower for InOneBlock<'_> {
    /// Of no use: these are more values than are passed flat.
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> wasmtime::Result<()> {
        self.0.linear_lower_to_flat(cx, ty, dst)
    }

    /// Writes the parameters at `offset`, and all that they point to into one piece of memory that
    /// the policy is asked for. The engine has checked the place at `offset`, and checks the piece:
    /// that it is inside of the memory and aligned.
    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        _ty: InterfaceType,
        offset: usize,
    ) -> wasmtime::Result<()> {
        let size = self.0.beside();
        let start = cx.realloc(0, 0, ALIGN, size)?;
        let mut block = Block {
            memory: cx.as_slice_mut(),
            next: start,
            end: start + size,
        };
        self.0
            .store(&mut block, offset)
            .ok_or_else(|| wasmtime::Error::msg("the question does not fit where it should"))
    }
}

/// The alignment of a block, which is the greatest that anything in it has: that of an `s64`. Every
/// list and text begins at a multiple of it.
const ALIGN: u32 = 8;

/// How much of a block a list or text takes.
fn room(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN as usize)
}

/// The memory of an instance, and the block in it.
struct Block<'a> {
    memory: &'a mut [u8],
    next: usize,
    end: usize,
}

impl Block<'_> {
    /// The place of the next list or text. `None` when there is no room, which would be a mistake
    /// in what was asked for.
    fn take(&mut self, bytes: usize) -> Option<usize> {
        let place = self.next;
        self.next = place.checked_add(room(bytes))?;
        (self.next <= self.end).then_some(place)
    }

    /// Writes at a place in memory; `None` when it is not inside.
    fn put<const N: usize>(&mut self, place: usize, bytes: [u8; N]) -> Option<()> {
        *self.memory.get_mut(place..)?.first_chunk_mut()? = bytes;
        Some(())
    }

    /// The pair that a list or a text is, in a record: where it begins, and its elements or bytes.
    fn pair(&mut self, at: usize, place: usize, length: usize) -> Option<()> {
        let place = u32::try_from(place).ok()?;
        let length = u32::try_from(length).ok()?;
        self.put(
            at,
            (u64::from(length) << 32 | u64::from(place)).to_le_bytes(),
        )
    }
}

/// A type in the canonical ABI: `store` of its specification, with all memory allocated before.
/// Sizes, alignments and the places of payloads are the engine's, derived from the type.
trait Store: ComponentType {
    /// How much of a block it takes, besides its own place.
    fn beside(&self) -> usize;

    /// Writes it at its place, and what it points to into the block.
    fn store(&self, block: &mut Block<'_>, at: usize) -> Option<()>;
}

impl<T: Store + ?Sized> Store for &T {
    fn beside(&self) -> usize {
        (**self).beside()
    }

    fn store(&self, block: &mut Block<'_>, at: usize) -> Option<()> {
        (**self).store(block, at)
    }
}

macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl Store for $number {
            fn beside(&self) -> usize {
                0
            }

            fn store(&self, block: &mut Block<'_>, at: usize) -> Option<()> {
                block.put(at, self.to_le_bytes())
            }
        }
    )+};
}

numbers!(u32, u64, i64);

impl Store for bool {
    fn beside(&self) -> usize {
        0
    }

    fn store(&self, block: &mut Block<'_>, at: usize) -> Option<()> {
        block.put(at, [u8::from(*self)])
    }
}

/// A `string`; those of our components are UTF-8 (`module`).
impl Store for String {
    fn beside(&self) -> usize {
        room(self.len())
    }

    fn store(&self, block: &mut Block<'_>, at: usize) -> Option<()> {
        let place = block.take(self.len())?;
        let to = block
            .memory
            .get_mut(place..place.checked_add(self.len())?)?;
        to.copy_from_slice(self.as_bytes());
        block.pair(at, place, self.len())
    }
}

/// A `list`.
impl<T: Store> Store for [T] {
    fn beside(&self) -> usize {
        let elements = self.iter().map(Store::beside);
        room(self.len() * T::SIZE32) + elements.sum::<usize>()
    }

    fn store(&self, block: &mut Block<'_>, at: usize) -> Option<()> {
        let place = block.take(self.len() * T::SIZE32)?;
        for (number, element) in self.iter().enumerate() {
            element.store(block, place + number * T::SIZE32)?;
        }
        block.pair(at, place, self.len())
    }
}

impl<T: Store> Store for Vec<T> {
    fn beside(&self) -> usize {
        self.as_slice().beside()
    }

    fn store(&self, block: &mut Block<'_>, at: usize) -> Option<()> {
        self.as_slice().store(block, at)
    }
}

/// A variant of two cases: which it is, and its payload.
impl<T: Store> Store for Option<T> {
    fn beside(&self) -> usize {
        self.as_ref().map_or(0, Store::beside)
    }

    fn store(&self, block: &mut Block<'_>, at: usize) -> Option<()> {
        match self {
            None => block.put(at, [0]),
            Some(payload) => {
                block.put(at, [1])?;
                payload.store(block, at + Self::PAYLOAD_OFFSET32)
            }
        }
    }
}

/// The cases are numbered in their order in the contract.
impl Store for Value {
    fn beside(&self) -> usize {
        match self {
            Self::Flag(flag) => flag.beside(),
            Self::Int(int) => int.beside(),
            Self::Text(text) | Self::Json(text) => text.beside(),
            Self::Texts(texts) => texts.beside(),
        }
    }

    fn store(&self, block: &mut Block<'_>, at: usize) -> Option<()> {
        let payload = at + Self::PAYLOAD_OFFSET32;
        match self {
            Self::Flag(flag) => {
                block.put(at, [0])?;
                flag.store(block, payload)
            }
            Self::Int(int) => {
                block.put(at, [1])?;
                int.store(block, payload)
            }
            Self::Text(text) => {
                block.put(at, [2])?;
                text.store(block, payload)
            }
            Self::Texts(texts) => {
                block.put(at, [3])?;
                texts.store(block, payload)
            }
            Self::Json(text) => {
                block.put(at, [4])?;
                text.store(block, payload)
            }
        }
    }
}

/// The place of the next field of a record, from its beginning: after `end`, aligned.
fn next_field<T: Store>(_: &T, end: &mut usize) -> usize {
    let place = end.next_multiple_of(T::ALIGN32 as usize);
    *end = place + T::SIZE32;
    place
}

/// Records, with their fields in the order of the contract. None can be left out.
macro_rules! records {
    ($($record:ident { $($field:ident),+ })+) => {$(
        impl Store for $record {
            fn beside(&self) -> usize {
                let Self { $($field),+ } = self;
                0 $(+ $field.beside())+
            }

            fn store(&self, block: &mut Block<'_>, at: usize) -> Option<()> {
                let Self { $($field),+ } = self;
                let mut end = 0;
                $($field.store(block, at + next_field($field, &mut end))?;)+
                Some(())
            }
        }
    )+};
}

records! {
    Named { name, value }
    Application { id, name, labels, roles }
    Subject { id, issuer, claims }
    Api { id, identifier, labels }
    Request {
        id, at, grant_type, application, subject, apis, scopes, lifetime_seconds, attributes, claims
    }
}

/// Parameters that are passed in memory, which are a record without names.
impl<A: Store, B: Store> Store for (A, B) {
    fn beside(&self) -> usize {
        self.0.beside() + self.1.beside()
    }

    fn store(&self, block: &mut Block<'_>, at: usize) -> Option<()> {
        let mut end = 0;
        self.0.store(block, at + next_field(&self.0, &mut end))?;
        self.1.store(block, at + next_field(&self.1, &mut end))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::testkit::{any_named, any_request};
    use crate::{engine, module};
    use proptest::prelude::*;
    use wasmtime::component::{Component, Instance, Lift, Linker, TypedFunc};
    use wasmtime::{Engine, Store};
    use wit_component::{ComponentEncoder, StringEncoding};

    /// Whatever it is asked, it answers with. What it answers is read by the engine's own code, so
    /// this is a test of what was written, field by field.
    const MIRROR: &str = "package writ:mirror;
        interface mirror {
          use writ:policy/types@1.0.0.{request, named};
          mirror: func(request: request, settings: list<named>) -> tuple<request, list<named>>;
          pieces: func() -> u32;
        }
        world mirrored { export mirror; }";

    /// The answer is a record as the parameters are, and its place is what the function is given.
    /// What the allocator hands out is not zero, so that whatever is read back was written.
    const MIRROR_MODULE: &str = r#"(module
        (memory (export "memory") 1)
        (global $next (mut i32) (i32.const 8))
        (global $pieces (mut i32) (i32.const 0))
        (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32)
          (result i32)
          (local $at i32)
          (global.set $pieces (i32.add (global.get $pieces) (i32.const 1)))
          (local.set $at
            (i32.and
              (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
              (i32.sub (i32.const 0) (local.get $align))))
          (global.set $next (i32.add (local.get $at) (local.get $size)))
          (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
            (then
              (drop (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get $size) (i32.const 65536)))))))
          (memory.fill (local.get $at) (i32.const 0xaa) (local.get $size))
          (local.get $at))
        (func (export "writ:mirror/mirror#mirror") (param i32) (result i32) (local.get 0))
        (func (export "writ:mirror/mirror#pieces") (result i32) (global.get $pieces)))"#;

    struct Mirror {
        engine: Engine,
        component: Component,
    }

    impl Mirror {
        fn new() -> Self {
            let mut resolve = wit_parser::Resolve::default();
            resolve.push_source("policy.wit", module::WIT).unwrap();
            let package = resolve.push_source("mirror.wit", MIRROR).unwrap();
            let world = resolve.select_world(&[package], None).unwrap();
            let mut module = wat::parse_str(MIRROR_MODULE).unwrap();
            let utf8 = StringEncoding::UTF8;
            wit_component::embed_component_metadata(&mut module, &resolve, world, utf8).unwrap();
            let encoder = ComponentEncoder::default().validate(true).module(&module);
            let component = encoder.unwrap().encode().unwrap();
            let engine = engine::compiling().unwrap();
            Self {
                component: Component::new(&engine, component).unwrap(),
                engine,
            }
        }

        /// What comes back, and how many pieces of memory it took.
        fn shows<P: ComponentNamedList + Lower>(
            &self,
            question: P,
        ) -> ((Request, Vec<Named>), u32) {
            let mut store = Store::new(&self.engine, ());
            store.set_fuel(u64::MAX / 2).unwrap();
            store.set_epoch_deadline(u64::MAX / 2);
            let instance = Linker::new(&self.engine)
                .instantiate(&mut store, &self.component)
                .unwrap();
            let mirror: TypedFunc<P, ((Request, Vec<Named>),)> =
                self.function(&instance, &mut store, "mirror");
            let (seen,) = mirror.call(&mut store, question).unwrap();
            let pieces: TypedFunc<(), (u32,)> = self.function(&instance, &mut store, "pieces");
            let (pieces,) = pieces.call(&mut store, ()).unwrap();
            (seen, pieces)
        }

        fn function<P, R>(
            &self,
            instance: &Instance,
            store: &mut Store<()>,
            name: &str,
        ) -> TypedFunc<P, R>
        where
            P: ComponentNamedList + Lower,
            R: ComponentNamedList + Lift,
        {
            let mirror = self.component.get_export_index(None, "writ:mirror/mirror");
            let function = self.component.get_export_index(mirror.as_ref(), name);
            instance.get_typed_func(store, function.unwrap()).unwrap()
        }
    }

    #[test]
    fn what_is_written_in_one_block_reads_as_what_the_engine_writes() {
        let mirror = Mirror::new();
        proptest!(|(request in any_request(), settings in any_named())| {
            let question = (&request, &*settings);
            let (seen, pieces) = mirror.shows(InOneBlock(question));
            prop_assert_eq!(pieces, 2, "the parameters, and all the rest");
            prop_assert_eq!((&seen.0, &*seen.1), question);
            let (by_the_engine, pieces) = mirror.shows(question);
            prop_assert!(pieces > 10, "{} pieces", pieces);
            prop_assert_eq!(by_the_engine, seen);
        });
    }

    #[test]
    fn a_question_may_be_empty_or_larger_than_the_memory_that_is_there() {
        let mirror = Mirror::new();
        let large = Request {
            scopes: vec!["x".repeat(300_000), String::new(), "y".repeat(70_001)],
            ..Request::default()
        };
        for request in [Request::default(), large] {
            let question = (&request, &[][..]);
            let (seen, _) = mirror.shows(InOneBlock(question));
            assert_eq!((&seen.0, &*seen.1), question);
        }
    }

    #[test]
    fn only_the_modules_that_say_so_never_free() {
        for (module, says) in [
            (r#"(module (@custom "writ-policy-allocator" "bump"))"#, true),
            (
                r#"(module (@custom "writ-policy-allocator" "general"))"#,
                false,
            ),
            (r#"(module (@custom "writ-policy-allocator" ""))"#, false),
            (r#"(module (@custom "writ-policy-sdk" "bump"))"#, false),
            (r#"(module (@custom "name" "\00\05\04bump"))"#, false),
            ("(module)", false),
        ] {
            let module = wat::parse_str(module).unwrap();
            assert_eq!(never_frees(&module), says);
        }
        assert!(!never_frees(b"no module"));
    }
}
