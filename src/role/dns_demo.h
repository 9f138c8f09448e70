#pragma once
#include "base/buf.h"

/* The demo's DNS as a master file: demo.test, demo2.test and the reverse zones of loopback. One record of demo2.test is wrong on purpose, to see what a failure
 * looks like. */
void dns_demo_zone(struct buf *out);
