/**
 * One line of a tenants file. Lines are read with `JSON.parse`, as there may be 100,000 of them; only one that holds
 * `${…}`, or that a message is about, is parsed again by the slower reader that knows positions. JSON is YAML, too.
 */
import { Dependencies } from './dependencies.ts'
import type { Location, Path, Source } from './problem.ts'
import { ProblemList } from './problem.ts'
import type { RawTenant } from './tenant-part.ts'
import { parseYaml, type YamlInput, type YamlSource } from './yaml-source.ts'

/** Deeper than any tenant; keeps those that walk through it off the end of the stack. */
const MAX_DEPTH = 64

export class LineSource implements Source {
  readonly file: string
  readonly directory: string
  readonly #input: YamlInput

  constructor(input: YamlInput) {
    this.file = input.file
    this.directory = input.context.directory
    this.#input = input
  }

  /** `undefined` if the line is not JSON; that is then among the problems. */
  read(problems: ProblemList): RawTenant | undefined {
    const { text } = this.#input
    const json = parseJson(text)
    if ('fault' in json) return this.#fail(problems, json.column, json.fault)
    const keys = keysOf(json.value, 0)
    if (Number.isNaN(keys))
      return this.#fail(problems, 1, `is nested too deeply, at most ${MAX_DEPTH} levels`)
    if (text.includes('${')) return this.#interpolated(problems)
    const place = { source: this, path: [] }
    // A key that stands twice means two things to two readers; `JSON.parse` takes the last and says nothing, nor does it
    // of the digits that a number cannot keep.
    if (countKeys(text) === keys && !LONG_NUMBER.test(text))
      return { input: json.value, place, yaml: () => this.#parse() }
    const source = parseYaml(this.#input, problems)
    return source && { input: source.value, place: { source, path: [] }, yaml: () => source }
  }

  locate(path: Path, at?: 'key' | 'value'): Location {
    return this.#parse()?.locate(path, at) ?? { line: this.#input.firstLine, column: 1 }
  }

  #interpolated(problems: ProblemList): RawTenant | undefined {
    const dependencies = new Dependencies()
    const context = { ...this.#input.context, dependencies }
    const source = parseYaml({ ...this.#input, context }, problems)
    if (source === undefined) return undefined
    const place = { source, path: [] }
    return { input: source.value, place, yaml: () => source, dependencies }
  }

  #fail(problems: ProblemList, column: number, message: string): undefined {
    problems.addAt({ file: this.file, line: this.#input.firstLine, column, path: '', message })
    return undefined
  }

  /** Not kept: it is for the few lines that messages are about. */
  #parse(): YamlSource | undefined {
    return parseYaml(this.#input, new ProblemList())
  }
}

const LONG_NUMBER = /"\s*:\s*\d{16}/

type Json = { readonly value: unknown } | { readonly fault: string; readonly column: number }

function parseJson(text: string): Json {
  try {
    return { value: JSON.parse(text) }
  } catch (error) {
    const message = error instanceof Error ? error.message : ''
    const [, position] = /at position (\d+)/.exec(message) ?? []
    return { fault: 'must be one tenant as JSON on one line', column: Number(position ?? 0) + 1 }
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const SPACE = 0x20

/** How many keys are written in valid JSON: texts that a colon follows. */
function countKeys(text: string): number {
  let keys = 0
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at)) {
    at += 1
    while (text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1
    at += 1
    while (text.charCodeAt(at) <= SPACE) at += 1
    if (text.charCodeAt(at) === COLON) keys += 1
  }
  return keys
}

/** Of all maps in it; not a number where it is too deep. */
function keysOf(value: unknown, depth: number): number {
  if (typeof value !== 'object' || value === null) return 0
  if (depth >= MAX_DEPTH) return Number.NaN
  // Values by themselves: walking through keys takes ten times as long.
  const children: readonly unknown[] = Array.isArray(value) ? value : Object.values(value)
  let keys = Array.isArray(value) ? 0 : children.length
  for (const child of children) if (typeof child === 'object') keys += keysOf(child, depth + 1)
  return keys
}
