#pragma once
#include "cmd/verbs.h"
#include "ipc/ipc.h"

/* A client of the running server. The control socket is a channel to master; a channel to another role is asked for and then speaks to
 * that role alone, under the permissions of ipc/messages.def. */
struct ctl;
typedef enum status ctl_work(struct ctl *c, void *arg); /* runs in a fiber */

/* Connects, runs `work`, hangs up. Says what is wrong when no server answers. */
enum status ctl_run(const struct call *call, const struct config *config, ctl_work *work, void *arg);
/* ctl_run with the configuration of --config; `arg` is the call. */
enum status ctl_verb(struct call *c, ctl_work *work);
/* Does a server answer on the control socket? */
bool ctl_server_runs(const struct config *config);

const struct call *ctl_call(const struct ctl *c);
const struct config *ctl_config(const struct ctl *c);
struct loop *ctl_loop(const struct ctl *c);
/* The channel to that role (ROLE_MASTER included), introduced when it is first wanted; valid until ctl_run() returns or that role hangs up. */
MUST_USE enum rc ctl_peer(struct ctl *c, enum role r, struct ipc_peer **out, struct why *why);
/* ipc_ask to the peer of that role (ROLE_MASTER included), which is introduced at the first ask. */
MUST_USE enum rc ctl_ask(struct ctl *c, enum role r, enum msg_type t, const void *question, void *out_answer, struct ipc_reply *reply, struct why *why);
/* An entry "cli:USER WHAT" in the audit log. A ledger that cannot be told is said, not fatal: the change has happened. */
void ctl_audit(struct ctl *c, const char *what, struct str before, struct str after);
