/**
 * One line of a tenants file. Lines are read with `JSON.parse`, as there may be 100,000 of them; only one that holds
 * `${…}`, or that a message is about, is parsed again by the slower reader that knows positions. JSON is YAML, too.
 */
import type { Location, Path, Place, Source } from './problem.ts'
import { ProblemList } from './problem.ts'
import { parseYaml, type YamlInput, type YamlSource } from './yaml-source.ts'

export interface LineTenant {
  readonly input: unknown
  readonly place: Place
  readonly yaml: () => YamlSource | undefined
}

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
  read(problems: ProblemList): LineTenant | undefined {
    const { text, firstLine } = this.#input
    const json = parseJson(text)
    if ('fault' in json) {
      const place = { file: this.file, line: firstLine, column: json.column, path: '' }
      problems.addAt({ ...place, message: json.fault })
      return undefined
    }
    const place = { source: this, path: [] }
    // A key that stands twice means two things to two readers; `JSON.parse` takes the last and says nothing, nor does it
    // of the digits that a number cannot keep.
    const inexact = text.includes('${') || LONG_NUMBER.test(text)
    if (inexact || countKeys(text) !== keysOf(json.value)) {
      const source = parseYaml(this.#input, problems)
      return source && { input: source.value, place: { source, path: [] }, yaml: () => source }
    }
    return { input: json.value, place, yaml: () => this.#parse() }
  }

  locate(path: Path, at?: 'key' | 'value'): Location {
    return this.#parse()?.locate(path, at) ?? { line: this.#input.firstLine, column: 1 }
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

/** How many keys are written in valid JSON: texts that a colon follows. */
function countKeys(text: string): number {
  let keys = 0
  for (const match of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/g))
    if (match[1] !== undefined) keys += 1
  return keys
}

function keysOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const children = Object.values(value)
  const own = Array.isArray(value) ? 0 : children.length
  return children.reduce<number>((sum, child) => sum + keysOf(child), own)
}
