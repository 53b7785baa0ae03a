#ifndef TRAINER_EVALUATE_TEXT_H
#define TRAINER_EVALUATE_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include "search/base/buf.h"

/*
 * The few things that evaluation does to text, as Python does them: white space is what
 * str.isspace says, letters change by Unicode's tables (utf8proc). Text is UTF-8; bytes that are not
 * count as one letter each and stay as they are.
 */
struct text {
    const char *at;
    size_t len;
};

struct text text_of(const char *string);
struct text text_strip(struct text t); /* str.strip() */
struct text text_rstrip(struct text t);
int64_t text_letters(struct text t); /* len(str) */
int64_t text_words(struct text t);   /* len(re.split(r"\s+", str)) */

/* Appends str.capitalize(): the first letter in title case, the others in lower case, letter by
 * letter (of the special rules of context, Greek's final sigma, there are none). */
void text_capitalize(struct text t, struct buf *to);

/* Appends the text as HellaSwag is cleaned of WikiHow's marks: stripped, " [title]" becomes ". ",
 * what stands in brackets on one line is dropped, two spaces become one, once. */
void text_clean(struct text t, struct buf *to);

#endif
