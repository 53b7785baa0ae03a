#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "search/base/error.h"

/*
 * The settings of lathed. Each comes from, in this order: a flag, a variable of
 * the environment (LATHE_ and the flag in capitals: --data-dir, LATHE_DATA_DIR), the
 * file named by --config (one `name = value` a line), a default. `lathed --help`
 * prints them all; config_print prints what is in force, without secrets.
 *
 * Strings belong to the config and live until config_release.
 */
struct config {
    char *data_dir;     /* absolute; made when missing, mode 0700 */
    char *files_dir;    /* absolute; uploads and jobs below it, shared by the machines that share a
                         * database; data_dir when not said */
    char *database_url; /* NULL: a private PostgreSQL under data_dir; a secret */
    char *pg_bin;       /* folder of postgres and initdb; NULL: look for it */
    char *pg_user;      /* who runs the private PostgreSQL when we are root */
    char *listen;       /* ADDR:PORT as given; taken apart into: */
    char *address;      /* numeric IPv4 or IPv6 */
    int port;           /* 0: any free one, see <data_dir>/address */
    char *config_file;  /* where more settings were read, or NULL */
    bool insecure;      /* listening beyond loopback without TLS was acknowledged */
    char *hosts;        /* further Host names that are ours, separated by commas, or NULL */
    bool role_api, role_runner;
    int slots;          /* jobs this runner trains at a time */
    int threads;        /* of each trainer; 0: cores / slots */
    char *trainer;      /* absolute path of lathe-train */
    char *launch;       /* how a job is started, jobs/launch.h; NULL: the trainer alone */
    char *backends;     /* names by commas; NULL: what the trainer says it has */
    int ranks;          /* processes of a job under `launch` */
    int gpus;           /* of this machine for jobs; -1: what the trainer says */
    int64_t memory;     /* bytes of this machine for jobs; 0: all of it */
    char *web_dir;      /* absolute folder of the dashboard; it may be missing */
    int pool_size;      /* connections for short statements */
    int64_t max_body;   /* bytes of a JSON body */
    int64_t max_upload; /* bytes of one upload */
    int rate;           /* requests a second of one token; 0: any number */
    int keep_events;    /* days; 0: for good */
    int keep_metrics;   /* likewise, after a job's end */
    int drain_s;        /* how long a graceful stop may take */
    char *log_level;    /* debug, info, warn, error */
};

/* Fills `config`. *done is set when there is nothing left to do but exit 0
 * (--help, --version). E_INPUT names the flag, variable or line that is wrong. */
enum status config_read(struct config *config, int argc, char **argv, bool *done,
                        struct error *err);

void config_help(FILE *out);
void config_print(const struct config *config, FILE *out);
void config_release(struct config *config);

#endif
