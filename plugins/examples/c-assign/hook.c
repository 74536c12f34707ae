// When a message fails, gives its conversation to somebody and opens it.
//
// Config: assignee, the id of the user (usr_…) who looks after failed messages.
#include "status_hook.h"
#include <string.h>

static bool reject(exports_kabar_hooks_handler_hook_error_t *err, const status_hook_string_t *why) {
    err->tag = KABAR_HOOKS_TYPES_HOOK_ERROR_REJECT;
    err->val.reject = *why;
    return false;
}

static void say(const char *text) {
    status_hook_string_t line;
    status_hook_string_set(&line, text);
    kabar_hooks_log_write(KABAR_HOOKS_LOG_LEVEL_INFO, &line);
}

bool exports_kabar_hooks_handler_handle(exports_kabar_hooks_handler_event_t *event,
                                        exports_kabar_hooks_handler_hook_error_t *err) {
    if (event->change.tag != KABAR_HOOKS_TYPES_CHANGE_MESSAGE_STATUS) return true;
    kabar_hooks_types_status_change_t *change = &event->change.val.message_status;
    if (change->status != KABAR_HOOKS_TYPES_MESSAGE_STATUS_FAILED) return true;

    status_hook_string_t key, assignee;
    status_hook_string_set(&key, "assignee");
    if (!kabar_hooks_config_get(&key, &assignee)) {
        status_hook_string_t why;
        status_hook_string_set(&why, "the setting `assignee` is missing");
        return reject(err, &why);
    }

    kabar_hooks_conversations_changes_t changes = {
        .status = {.is_some = true, .val = KABAR_HOOKS_TYPES_CONVERSATION_STATUS_OPEN},
        .assigned_to = {.tag = KABAR_HOOKS_CONVERSATIONS_ASSIGNMENT_USER, .val.user = assignee},
    };
    status_hook_string_t reference;
    kabar_hooks_types_refusal_t refused;
    if (!kabar_hooks_conversations_update(&change->message.conversation_id, &changes, &reference, &refused)) {
        return reject(err, &refused.message);
    }
    say("a message failed; its conversation has somebody to look after it");
    return true;
}
