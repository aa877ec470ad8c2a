/**
 * Tenants from outside the main file: directories with one YAML file a tenant, and files with one JSON tenant a line.
 * Reading has no memory: a reload reads everything again.
 */
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { decodeUtf8, readBytes, readDirectory, readText } from './files.ts'
import type { InterpolationContext } from './interpolate.ts'
import { LineSource } from './line-source.ts'
import { type Place, type ProblemList, placeIn, type Source } from './problem.ts'
import type { Config } from './schema.ts'
import { parseYaml, type YamlSource } from './yaml-source.ts'

/** Of a tenant's file and of a line of a tenants file. */
export const MAX_TENANT_BYTES = 64 * 1024
/** Of a whole tenants file: some 500,000 tenants of 500 bytes. */
export const MAX_TENANTS_FILE_BYTES = 256 * 1024 * 1024
export const MAX_TENANTS = 500_000

/** One tenant as it was read; its form is not yet checked. */
export interface RawTenant {
  readonly input: unknown
  readonly place: Place
  /** For messages: parses what a fast reader has not parsed. `undefined` if that fails. */
  readonly yaml: () => YamlSource | undefined
}

export interface SourceContext {
  /** The main file, whose `tenantSources` are read. */
  readonly main: Source
  readonly env: InterpolationContext['env']
  readonly problems: ProblemList
}

/** The tenants of all sources in their order, as they are read; what cannot be read is among the problems. */
export function* readTenantSources(
  sources: Config['tenantSources'],
  context: SourceContext,
): Generator<RawTenant> {
  let count = 0
  for (const [index, source] of sources.entries()) {
    const place: Place = { source: context.main, path: ['tenantSources', index] }
    const found =
      'directory' in source
        ? readTenantFiles(source.directory, placeIn(place, 'directory'), context)
        : readTenantsFile(source.file, placeIn(place, 'file'), context)
    for (const tenant of found) {
      count += 1
      if (count > MAX_TENANTS) {
        context.problems.add(place, `there are more than ${MAX_TENANTS} tenants`)
        return
      }
      yield tenant
    }
  }
}

function* readTenantFiles(
  path: string,
  place: Place,
  context: SourceContext,
): Generator<RawTenant> {
  const shown = shownPath(path, context.main)
  const names = readDirectory(resolve(context.main.directory, path))
  if ('fault' in names) {
    context.problems.add(place, `the directory ${shown} ${names.fault}`)
    return
  }
  for (const name of names.value.filter(isTenantFile).toSorted()) {
    const file = join(shown, name)
    const source = readYamlFile(file, { maxBytes: MAX_TENANT_BYTES, ...context })
    if (source) yield { input: source.value, place: { source, path: [] }, yaml: () => source }
  }
}

/** Dotfiles are half-written files, editors' locks, and the links that Kubernetes mounts volumes by. */
function isTenantFile(name: string): boolean {
  return /^[^.#~].*\.ya?ml$/.test(name)
}

/** A YAML file of the configuration, or `undefined` with everything that is wrong with it among the problems. */
export function readYamlFile(
  file: string,
  options: { maxBytes: number; env: InterpolationContext['env']; problems: ProblemList },
): YamlSource | undefined {
  const { maxBytes, env, problems } = options
  const text = readText(resolve(file), maxBytes)
  if ('fault' in text) {
    problems.addAt({ file, line: 1, column: 1, path: '', message: `the file ${text.fault}` })
    return undefined
  }
  const context = { env, directory: dirname(resolve(file)) }
  return parseYaml({ file, text: text.value, firstLine: 1, context }, problems)
}

function* readTenantsFile(
  path: string,
  place: Place,
  context: SourceContext,
): Generator<RawTenant> {
  const file = shownPath(path, context.main)
  const bytes = readBytes(resolve(context.main.directory, path), MAX_TENANTS_FILE_BYTES)
  if ('fault' in bytes) {
    context.problems.add(place, `the file ${file} ${bytes.fault}`)
    return
  }
  const directory = dirname(resolve(context.main.directory, path))
  for (const { line, content } of linesOf(bytes.value)) {
    const text = content.length > MAX_TENANT_BYTES ? undefined : decodeUtf8(content)?.trimEnd()
    if (text === undefined) {
      const message = `the line must be valid UTF-8 of at most ${MAX_TENANT_BYTES} bytes`
      context.problems.addAt({ file, line, column: 1, path: '', message })
    } else if (text !== '') {
      const input = { file, text, firstLine: line, context: { env: context.env, directory } }
      const tenant = new LineSource(input).read(context.problems)
      if (tenant) yield tenant
    }
  }
}

function* linesOf(bytes: Buffer): Generator<{ line: number; content: Buffer }> {
  let start = 0
  for (let line = 1; start < bytes.length; line += 1) {
    const newline = bytes.indexOf(10, start)
    const end = newline < 0 ? bytes.length : newline
    yield { line, content: bytes.subarray(start, end) }
    start = end + 1
  }
}

/** As the user would name the file: relative if the main file was named so. */
function shownPath(path: string, main: Source): string {
  return isAbsolute(path) ? path : join(dirname(main.file), path)
}
