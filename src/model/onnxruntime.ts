/**
 * ONNX Runtime's C API, in the library that onnxruntime-node brings. That package's own sessions are given all tensors anew
 * in each run, read them through JavaScript, and copy what they return: a seventh of a forward's time and a third of a
 * draft's (docs/log.md). IoBinding, which is told of tensors once, is in the C API alone. Knows nothing of what is run.
 */
import koffi from 'koffi';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { loadLibrary, type Pointer } from './native-library.ts';

type TypeSpec = Parameters<typeof koffi.sizeof>[0];
type NativeFunction<Result = void> = (...values: unknown[]) => Result;

/** As of ONNX Runtime 1.16, which has all that is used here; every later one still has it. */
const API_VERSION = 16;
/** onnxruntime_c_api.h: OrtLoggingLevel. */
const WARNING = 2;
/** onnxruntime_c_api.h: OrtAllocatorType OrtArenaAllocator, OrtMemType OrtMemTypeDefault. */
const CPU_MEMORY = [1, 0] as const;

const LIBRARIES: Partial<Record<NodeJS.Platform, string>> = {
  darwin: 'libonnxruntime.1.dylib',
  linux: 'libonnxruntime.so.1',
  win32: 'onnxruntime.dll',
};
/** ORTCHAR_T: wide on Windows. */
const PATH = process.platform === 'win32' ? 'str16' : 'str';
const POINTER = 'void *';

function libraryPath(): string {
  const { platform, arch } = process;
  const main = createRequire(import.meta.url).resolve('onnxruntime-node');
  return join(dirname(main), '../bin/napi-v6', platform, arch, LIBRARIES[platform] ?? 'onnxruntime');
}

const library = loadLibrary(libraryPath());

function openApi(): Pointer {
  const base = library.func('OrtGetApiBase', POINTER, [])() as Pointer;
  const getApi = koffi.decode(
    koffi.decode(base, POINTER),
    koffi.proto(POINTER, ['uint32_t']),
  ) as NativeFunction<Pointer>;
  return getApi(API_VERSION);
}

const api = openApi();

/** The function at a place of OrtApi. New ones are only ever put behind the others (onnxruntime_c_api.h). */
function at<Result>(place: number, result: string, parameters: TypeSpec[]): NativeFunction<Result> {
  const address = koffi.decode(api, place * koffi.sizeof(POINTER), POINTER) as Pointer;
  return koffi.decode(address, koffi.proto(result, parameters)) as NativeFunction<Result>;
}

const getErrorMessage = at<string>(2, 'str', [POINTER]);
const releaseStatus = at<void>(93, 'void', [POINTER]);

/** A function that reports by a status. Throws ONNX Runtime's error. */
function checked(place: number, parameters: TypeSpec[]): NativeFunction {
  const call = at<Pointer>(place, POINTER, parameters);
  return (...values) => {
    const status = call(...values);
    if (status === null) return;
    const message = getErrorMessage(status);
    releaseStatus(status);
    throw new Error(message);
  };
}

/** One that puts a `type` where its last parameter points. */
function giving<Result = Pointer>(
  place: number,
  parameters: TypeSpec[],
  type = POINTER,
): NativeFunction<Result> {
  const call = checked(place, [...parameters, koffi.out(koffi.pointer(type))]);
  return (...values) => {
    const given: (Result | null)[] = [null];
    call(...values, given);
    return given[0] as Result;
  };
}

export const createSession = giving(7, [POINTER, PATH, POINTER]);
export const createSessionOptions = giving(10, []);
export const enableProfiling = checked(14, [POINTER, PATH]);
export const setIntraOpNumThreads = checked(24, [POINTER, 'int']);
export const inputCount = giving<number>(30, [POINTER], 'size_t');
export const outputCount = giving<number>(31, [POINTER], 'size_t');
export const inputTypeInfo = giving(33, [POINTER, 'size_t']);
export const outputTypeInfo = giving(34, [POINTER, 'size_t']);
export const inputName = giving(36, [POINTER, 'size_t', POINTER]);
export const outputName = giving(37, [POINTER, 'size_t', POINTER]);
/** Of memory that the caller keeps: memory info, address, bytes, sizes, how many of them, type of element. */
export const createTensor = giving(49, [POINTER, POINTER, 'size_t', 'int64_t *', 'size_t', 'int']);
/** A part of the type info, to be released with that; null where it is of no tensor. */
export const tensorInfo = giving(55, [POINTER]);
export const elementType = giving<number>(60, [POINTER], 'int');
export const dimensionCount = giving<number>(61, [POINTER], 'size_t');
export const dimensions = checked(62, [POINTER, 'int64_t *', 'size_t']);
export const symbolicDimensions = checked(63, [POINTER, koffi.out(koffi.pointer('str')), 'size_t']);
export const allocatorFree = checked(76, [POINTER, POINTER]);
export const releaseSession = at<void>(95, 'void', [POINTER]);
export const releaseValue = at<void>(96, 'void', [POINTER]);
export const releaseTypeInfo = at<void>(98, 'void', [POINTER]);
export const releaseSessionOptions = at<void>(100, 'void', [POINTER]);
export const endProfiling = giving(110, [POINTER, POINTER]);
export const addSessionConfigEntry = checked(130, [POINTER, 'str', 'str']);
export const runWithBinding = checked(133, [POINTER, POINTER, POINTER]);
export const createIoBinding = giving(134, [POINTER]);
export const releaseIoBinding = at<void>(135, 'void', [POINTER]);
export const bindInput = checked(136, [POINTER, 'str', POINTER]);
export const bindOutput = checked(137, [POINTER, 'str', POINTER]);
/** Weights that the session need not read, by name; memory that the caller keeps. */
export const addInitializer = checked(150, [POINTER, 'str', POINTER]);
export const createPackedWeights = giving(166, []);
export const releasePackedWeights = at<void>(167, 'void', [POINTER]);
/** As `createSession`, with a container of packed weights behind the options. */
export const createSessionWithPackedWeights = giving(168, [POINTER, PATH, POINTER, POINTER]);

// Of this thread, and never released: whatever is left of them goes with the process.
export const environment = giving(3, ['int', 'str'])(WARNING, 'foretoken');
export const cpuMemory = giving(69, ['int', 'int'])(...CPU_MEMORY);
export const defaultAllocator = giving(78, [])();
export const runOptions = giving(39, [])();
