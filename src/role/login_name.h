#pragma once
#include "base/buf.h"
#include "role/role.h"

/* Login names, for every protocol. */
enum { LOGIN_USER_MAX = 320 };
/* In lower case, with login.default_domain where it has none. "" or longer than LOGIN_USER_MAX: nobody's. */
struct str login_full_name(const struct config *c, struct str user, struct buf *out);
/* Whose name it is: asks the reader. RC_NOTFOUND: nobody's, or that of an account which is disabled. A plus-address or what a catch-all takes is where
 * mail goes, not who somebody is. *out_address (the account's primary one) is in `a`. */
MUST_USE enum rc login_find(struct role_env *e, struct str full, struct arena *a, uint64_t *out_account, struct str *out_address, struct why *why);
