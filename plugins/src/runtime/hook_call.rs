//! The call of a hook, in the version of `kabar:hooks` that it was built for.
//!
//! Invariant: a component is called through the version of the handler that it exports, so that one built for
//! an older package runs unchanged.

use wasmtime::Store;
use wasmtime::component::{Component, InstancePre};

use crate::HANDLER_V1_1;
use crate::invocation::Invocation;
use crate::runtime::bindings::StatusHookPre;
use crate::runtime::bindings::kabar::hooks::types::{Event, HookError};
use crate::runtime::bindings_v1_1::EventHandlerPre;
use crate::runtime::bindings_v1_1::kabar::hooks::types as v1_1;
use crate::runtime::guest_state::GuestState;
use crate::runtime::{convert, convert_v1_1};

/// A linked hook of one of the versions.
pub(crate) enum LinkedHook {
    /// `kabar:hooks@1.0.0`.
    V1_0(StatusHookPre<GuestState>),
    /// `kabar:hooks@1.1.0`.
    V1_1(EventHandlerPre<GuestState>),
}

/// Stage at which a call failed.
pub(crate) enum CallStage {
    /// The instance did not start.
    Start,
    /// The hook was running.
    Running,
}

/// An event for a hook, in the hook's own types.
pub(crate) enum HookEvent {
    V1_0(Box<Event>),
    V1_1(Box<v1_1::Event>),
}

impl LinkedHook {
    /// Finds the handler of a linked component.
    ///
    /// # Errors
    /// When it exports none of the right types.
    pub(crate) fn find_handler(
        component: &Component,
        pre: InstancePre<GuestState>,
    ) -> wasmtime::Result<Self> {
        let engine = component.engine();
        let exports_v1_1 = component.component_type().exports(engine).any(|(name, _)| name == HANDLER_V1_1);
        if exports_v1_1 {
            EventHandlerPre::new(pre).map(Self::V1_1)
        } else {
            StatusHookPre::new(pre).map(Self::V1_0)
        }
    }

    /// Returns `true` when the hook sees messages as WhatsApp sent them.
    pub(crate) const fn wants_raw(&self) -> bool {
        matches!(self, Self::V1_1(_))
    }

    /// Converts the event of an invocation. `data` is the API's `data` of it, for packages that do not have its
    /// type; `raw` is the message as WhatsApp sent it, for those that show it.
    pub(crate) fn convert_event(
        &self,
        invocation: &Invocation,
        data: impl FnOnce() -> String,
        raw: Option<String>,
    ) -> HookEvent {
        match self {
            Self::V1_0(_) => HookEvent::V1_0(Box::new(convert::convert_event(invocation, data))),
            Self::V1_1(_) => HookEvent::V1_1(Box::new(convert_v1_1::convert_event(invocation, raw, data))),
        }
    }

    /// Calls the hook, in a fresh instance.
    ///
    /// # Errors
    /// The trap, with the stage at which it happened.
    pub(crate) async fn call(
        &self,
        store: &mut Store<GuestState>,
        event: &HookEvent,
    ) -> Result<Result<(), HookError>, (CallStage, wasmtime::Error)> {
        let start = |error| (CallStage::Start, error);
        let running = |error| (CallStage::Running, error);
        match (self, event) {
            (Self::V1_0(pre), HookEvent::V1_0(event)) => {
                let hook = pre.instantiate_async(&mut *store).await.map_err(start)?;
                hook.kabar_hooks_handler().call_handle(store, event).await.map_err(running)
            }
            (Self::V1_1(pre), HookEvent::V1_1(event)) => {
                let hook = pre.instantiate_async(&mut *store).await.map_err(start)?;
                let ended = hook.kabar_hooks_handler().call_handle(store, event).await.map_err(running)?;
                Ok(ended.map_err(|error| match error {
                    v1_1::HookError::Retry(reason) => HookError::Retry(reason),
                    v1_1::HookError::Reject(reason) => HookError::Reject(reason),
                }))
            }
            (Self::V1_0(_), HookEvent::V1_1(_)) | (Self::V1_1(_), HookEvent::V1_0(_)) => Err((
                CallStage::Start,
                wasmtime::Error::msg("the event is of another version of the package"),
            )),
        }
    }
}
