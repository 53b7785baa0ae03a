#ifndef TRAINER_EXPORT_MODELING_LATHE_H
#define TRAINER_EXPORT_MODELING_LATHE_H

/* The texts of modeling_lathe.py and configuration_decilm.py, embedded by embed.cmake. */
extern const char modeling_lathe[], configuration_decilm[];

#endif
