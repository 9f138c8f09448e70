#pragma once
#include "base/buf.h"

/* The readable text of HTML: tags, comments, style, script, head's title kept, entities decoded; block tags become a line end. One pass,
 * no nesting kept, output never longer than the input (a few octets aside). Input and output are UTF-8. */
void html_text(struct str html, struct buf *out);
