#include "role/probe.h"

#include "mail/digest.h"

enum rc probe_mime(struct str name, struct str message, bool json, struct buf *out, struct why *why)
{
	return mail_describe(name, message, &mail_limits_default, json, out, why);
}
