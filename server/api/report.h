#ifndef SERVER_API_REPORT_H
#define SERVER_API_REPORT_H

struct request;

/* GET /v1/comparisons/{id}/report: what a comparison found, as Markdown for people. */
void comparison_report(struct request *req);

#endif
