# Writes a C file with the texts of Python files: cmake -DOUT=x.c "-DFILES=a.py;b.py" -P embed.cmake
set(texts "#include \"trainer/export/modeling_lathe.h\"\n\n")
foreach(file IN LISTS FILES)
    get_filename_component(name ${file} NAME_WE)
    file(READ ${file} hex HEX)
    string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${hex}")
    string(APPEND texts "const char ${name}[] = {${bytes}0};\n")
endforeach()
file(WRITE ${OUT} "${texts}")
