/* Feeds every file of a folder to a fuzz target, where libFuzzer is not at hand. */
#include "tests/fuzz/fuzz.h"
#include <dirent.h>
#include <string.h>
#include "trainer/formats/file.h"

static int replay(const char *dir, const char *name)
{
    char path[PATH_ROOM], *bytes;
    size_t len;
    struct error err = { 0 };
    if (name[0] == '.' || path_join(path, dir, name, &err)) return 0;
    FUZZ_CHECK(!file_read(&bytes, &len, path, 1 << 24, &err));
    uint8_t *exact = malloc(len ? len : 1); /* so that reading one byte too far is seen */
    memcpy(exact, bytes, len);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    free(bytes);
    return 1;
}

int main(int argc, char **argv)
{
    int n = 0;
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    FUZZ_CHECK(dir);
    for (struct dirent *entry; (entry = readdir(dir));) n += replay(argv[1], entry->d_name);
    closedir(dir);
    printf("%d seeds\n", n);
    return n > 0 ? 0 : 1;
}
