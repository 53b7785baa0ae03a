#ifndef CLIENTS_CLI_COMPLETE_H
#define CLIENTS_CLI_COMPLETE_H

#include <stdio.h>
#include "clients/cli/args.h"

/*
 * What may stand next on the command line, one word a line: the shell's completion
 * (lathe.bash) asks `lathe __complete WORD...` with the words typed so far, the last one
 * perhaps half or empty. It reads the table that parsing reads, so it is never
 * out of date. Nothing is printed where a value is due: the shell offers files.
 */
void complete_print(const struct group *groups, int n_words, char **words, FILE *out);

#endif
