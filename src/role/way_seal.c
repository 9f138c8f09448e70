#include "role/way_seal.h"

static struct str context(void) { return STR("way"); }

enum rc way_seal(const uint8_t queue_public[PUB_LEN], struct str password, struct buf *out)
{
	return password.n == 0 || password.n > WAY_SECRET_MAX ? RC_LIMIT : seal_to(queue_public, context(), password, out);
}

enum rc way_open(struct unsealer *queue, struct str sealed, struct buf *out) { return unsealer_open(queue, context(), sealed, out); }
