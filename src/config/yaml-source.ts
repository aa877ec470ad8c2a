/**
 * A YAML file as plain values, with `${…}` replaced, that can still say where each value stands.
 * YAML 1.2, core schema: no merge keys, no tags of its own, no double keys. The tree is walked here and not by the
 * library, because double keys have to be found in linear time and each fault needs its position.
 */
import { dirname, resolve } from 'node:path'
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
  type YAMLMap,
} from 'yaml'
import type { Dependencies } from './dependencies.ts'
import { readText } from './files.ts'
import {
  type InterpolationContext,
  interpolate,
  maskReplacements,
  unmaskReplacements,
} from './interpolate.ts'
import type { Location, Path, ProblemList, Source } from './problem.ts'
import { formatPath, placeIn, quote } from './problem.ts'

/** Deeper than any configuration; keeps the recursion off the end of the stack. */
export const MAX_DEPTH = 64
/** Nodes that aliases may add: a few lines of nested aliases would else unfold to gigabytes ("billion laughs"). */
export const MAX_ALIASED_NODES = 100_000

const MERGE_REFUSED = 'merge keys are not supported; repeat the keys'

export interface YamlInput {
  /** As the user named it. */
  readonly file: string
  readonly text: string
  /** Line of the first line of `text` in the file; 1 if `text` is the whole file. */
  readonly firstLine: number
  readonly context: InterpolationContext
}

/** What a file says; `undefined` if it is no YAML, in which case all syntax errors are among the problems. */
export function parseYaml(input: YamlInput, problems: ProblemList): YamlSource | undefined {
  const lines = new LineCounter()
  const document = parseDocument(maskReplacements(input.text), {
    version: '1.2',
    schema: 'core',
    merge: false,
    resolveKnownTags: false,
    stringKeys: true,
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'error',
    lineCounter: lines,
  })
  const faults = [...document.errors, ...document.warnings]
  for (const fault of faults) {
    const { line, col } = lines.linePos(fault.pos[0])
    const message = `YAML: ${lowerFirst(unmaskReplacements(fault.message.replace(/; please use YAML.*/, '')))}`
    const position = { line: line + input.firstLine - 1, column: col }
    problems.addAt({ file: input.file, ...position, path: '', message })
  }
  if (faults.length > 0) return undefined
  return new YamlSource(input, document, { lines, problems })
}

/** A YAML file of the configuration, or `undefined` with everything that is wrong with it among the problems. */
export function readYamlFile(
  file: string,
  options: {
    readonly maxBytes: number
    readonly env: InterpolationContext['env']
    readonly problems: ProblemList
    readonly dependencies?: Dependencies
  },
): YamlSource | undefined {
  const { maxBytes, env, problems, dependencies } = options
  const text = readText(resolve(file), maxBytes)
  if ('fault' in text) {
    problems.addAt({ file, line: 1, column: 1, path: '', message: `the file ${text.fault}` })
    return undefined
  }
  const context = { env, directory: dirname(resolve(file)), dependencies }
  return parseYaml({ file, text: text.value, firstLine: 1, context }, problems)
}

export class YamlSource implements Source {
  readonly file: string
  readonly directory: string
  readonly value: unknown
  /** Formatted paths of values that could not be read and have their problem already. */
  readonly #broken = new Set<string>()
  readonly #root: Node | null
  readonly #lines: LineCounter
  readonly #firstLine: number
  readonly #context: InterpolationContext
  readonly #anchors = new Map<string, Node>()
  /** What each alias stands for: an anchor may be set anew further down. */
  readonly #aliased = new Map<Node, Node>()
  #aliasedNodes = 0
  #insideAlias = 0

  constructor(
    input: YamlInput,
    document: Document.Parsed,
    deps: { lines: LineCounter; problems: ProblemList },
  ) {
    this.file = input.file
    this.directory = input.context.directory
    this.#context = input.context
    this.#firstLine = input.firstLine
    this.#lines = deps.lines
    this.#root = document.contents
    this.value = this.#read(this.#root, [], deps.problems)
  }

  locate(path: Path, at: 'key' | 'value' = 'value'): Location {
    let node = this.#root
    for (const [index, step] of path.entries()) {
      const pair = isMap(node) && typeof step === 'string' ? findPair(node, step) : undefined
      if (at === 'key' && index === path.length - 1 && pair) return this.#location(pair.key)
      const next = this.#child(node, step)
      if (next === undefined) return { ...this.#location(node), absent: true }
      node = next
    }
    return this.#location(node)
  }

  /** Whether the value could not be read, so that what follows from it need not be told. */
  isBroken(path: Path): boolean {
    return this.#broken.size > 0 && this.#broken.has(formatPath(path))
  }

  #child(node: Node | null, step: string | number): Node | undefined {
    let child: unknown
    if (isMap(node) && typeof step === 'string') child = findPair(node, step)?.value
    else if (isSeq(node) && typeof step === 'number') child = node.items[step]
    return this.#target(child as Node | undefined)
  }

  #target(node: Node | undefined): Node | undefined {
    return isAlias(node) ? (this.#aliased.get(node) ?? node) : node
  }

  #location(node: unknown): Location {
    const range = (node as Node | null)?.range
    const { line, col } = this.#lines.linePos(range?.[0] ?? 0)
    const place = { line: line + this.#firstLine - 1, column: Math.max(col, 1) }
    return isScalar(node) && node.source !== undefined
      ? { ...place, text: unmaskReplacements(node.source) }
      : place
  }

  #read(node: Node | null, path: Path, problems: ProblemList): unknown {
    if (path.length > MAX_DEPTH) {
      return this.#fail(problems, path, `is nested too deeply, at most ${MAX_DEPTH} levels`)
    }
    if (this.#insideAlias > 0) this.#aliasedNodes += 1
    if (this.#aliasedNodes > MAX_ALIASED_NODES) {
      return this.#fail(problems, [], `aliases unfold to more than ${MAX_ALIASED_NODES} values`)
    }
    const value = this.#readKind(node, path, problems)
    // Only now, so that an alias inside its own anchor finds nothing: a cycle cannot come to be.
    if (node && !isAlias(node) && 'anchor' in node && node.anchor) {
      this.#anchors.set(node.anchor, node)
    }
    return value
  }

  #readKind(node: Node | null, path: Path, problems: ProblemList): unknown {
    if (isAlias(node)) {
      const target = this.#aliased.get(node) ?? this.#anchors.get(node.source)
      if (!target) return this.#fail(problems, path, `no anchor &${node.source} stands before`)
      this.#aliased.set(node, target)
      this.#insideAlias += 1
      const value = this.#read(target, path, problems)
      this.#insideAlias -= 1
      return value
    }
    if (isSeq(node)) {
      return node.items.map((item, index) => this.#read(item as Node, [...path, index], problems))
    }
    if (isMap(node)) return this.#readMap(node, path, problems)
    return isScalar(node) ? this.#readScalar(node, path, problems) : null
  }

  #readMap(map: YAMLMap, path: Path, problems: ProblemList): Record<string, unknown> {
    const value: Record<string, unknown> = {}
    const seen = new Map<string, Node>()
    for (const pair of map.items) {
      const key = keyOf(pair.key)
      const first = seen.get(key)
      const here = [...path, key]
      if (first) {
        const { line } = this.#location(first)
        const { line: thisLine, column } = this.#location(pair.key)
        const message = `stands twice, first on line ${line}; a key may stand once`
        const place = { file: this.file, line: thisLine, column, path: formatPath(here) }
        problems.addAt({ ...place, message })
        continue
      }
      seen.set(key, pair.key as Node)
      // Plain assignment would set the prototype.
      const refused = key === '__proto__' ? 'is not allowed as a key' : MERGE_REFUSED
      if (key === '<<' || key === '__proto__')
        problems.add(placeIn({ source: this, path }, key), refused, 'key')
      else value[key] = this.#read(pair.value as Node | null, here, problems)
    }
    return value
  }

  #readScalar(scalar: Scalar, path: Path, problems: ProblemList): unknown {
    if (typeof scalar.value === 'number') return exactNumber(scalar.value, scalar.source)
    if (typeof scalar.value !== 'string') return scalar.value
    const value = unmaskReplacements(scalar.value)
    if (!value.includes('${')) return value
    const result = interpolate(value, this.#context)
    if ('fault' in result) return this.#fail(problems, path, result.fault)
    return scalar.type === 'PLAIN' ? numberOrBoolean(value, result.value) : result.value
  }

  #fail(problems: ProblemList, path: Path, message: string): undefined {
    this.#broken.add(formatPath(path))
    problems.add({ source: this, path }, message)
    return undefined
  }
}

/**
 * `port: ${PORT}` must become a number, as it would if the number stood there. A value from a file stays text, and so
 * does what has more digits than a number can keep: tokens look like that. Quotes keep anything as text.
 */
function numberOrBoolean(before: string, after: string): string | number | boolean {
  if (before.startsWith('${file:')) return after
  if (/^-?(0|[1-9]\d{0,14})$/.test(after)) return Number(after)
  if (after === 'true') return true
  return after === 'false' ? false : after
}

/** What has more digits than a number can keep stays as it is written: ids of some clouds have 64 bits. */
function exactNumber(value: number, written = ''): number | string {
  return /^\d{16,}$/.test(written) && !Number.isSafeInteger(value) ? written : value
}

function findPair(map: YAMLMap, key: string): YAMLMap['items'][number] | undefined {
  return map.items.find(pair => keyOf(pair.key) === key)
}

function keyOf(key: unknown): string {
  return isScalar(key) ? unmaskReplacements(String(key.value)) : quote(String(key))
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
