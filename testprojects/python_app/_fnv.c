/* A Python extension: fnv1a(data) is the 64-bit FNV-1a hash of bytes. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

static PyObject *fnv1a(PyObject *self, PyObject *args) {
    const unsigned char *data;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "y#", &data, &size)) return NULL;
    unsigned long long hash = 0xcbf29ce484222325ULL;
    for (Py_ssize_t i = 0; i < size; i++) hash = (hash ^ data[i]) * 0x100000001b3ULL;
    return PyLong_FromUnsignedLongLong(hash);
}

static PyMethodDef methods[] = {{"fnv1a", fnv1a, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fnv", NULL, -1, methods};

PyMODINIT_FUNC PyInit__fnv(void) { return PyModule_Create(&module); }
