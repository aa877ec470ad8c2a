/** What is wrong with a configuration, and where: the words that the loader, the rules and the command line share. */

/** Keys and indexes from the root of a file to a value. */
export type Path = readonly (string | number)[]

export interface Problem {
  /** As the user named it. */
  readonly file: string
  /** From 1. */
  readonly line: number
  /** From 1, in UTF-16 units. */
  readonly column: number
  /** `listeners[0].tls.certificates`; empty where the file as a whole is meant. */
  readonly path: string
  /** What is wrong and what is allowed, in lower case, without a full stop. It never holds a secret. */
  readonly message: string
}

export interface Location {
  readonly line: number
  readonly column: number
  /** What stands there in the file, if it is a single value; `${…}` is not replaced, so no secret comes with it. */
  readonly text?: string
  /** Set if the path itself is not in the file: the location is that of the nearest value around it. */
  readonly absent?: true
}

/** A file of the configuration that knows where its values stand. */
export interface Source {
  readonly file: string
  /** Absolute; paths in this file start here. */
  readonly directory: string
  /** Where `path` stands, or the nearest value around it that exists. */
  locate(path: Path, at?: 'key' | 'value'): Location
}

/** A value in a file. */
export interface Place {
  readonly source: Source
  readonly path: Path
}

/** `file:line:column: path: what is wrong, what is allowed`: the form that editors jump to. */
export function formatProblem(problem: Problem): string {
  const where = `${problem.file}:${problem.line}:${problem.column}`
  return problem.path === ''
    ? `${where}: ${problem.message}`
    : `${where}: ${problem.path}: ${problem.message}`
}

/** `tenants[0].credentials[1].jwt.claims["http://x/org"]` */
export function formatPath(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (!/^[A-Za-z_][A-Za-z0-9_-]*$/.test(step)) text += `[${quote(step)}]`
    else text += text === '' ? step : `.${step}`
  }
  return text
}

/** Text from a file as it may appear in a message: one line of bounded length, no control characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text)
}

export function placeIn(place: Place, ...steps: Path): Place {
  return { source: place.source, path: [...place.path, ...steps] }
}

/** `path (file:line)`: the other side of a problem that has two. */
export function mention(place: Place): string {
  const { line, absent } = place.source.locate(place.path)
  const where = absent ? 'by default' : `${place.source.file}:${line}`
  return place.path.length === 0 ? where : `${formatPath(place.path)} (${where})`
}

/** Messages go to terminals and logs: text of a file must not steer the one or forge lines in the other. */
function oneLine(text: string): string {
  const plain = text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '\u{fffd}')
  return plain.length > MAX_TEXT ? `${plain.slice(0, MAX_TEXT - 3)}...` : plain
}

const MAX_TEXT = 1_000

/** A file of 100,000 bad tenants must not become 100,000 lines in a log. */
export const MAX_PROBLEMS = 500

/** Collects problems: each once, and not without end. */
export class ProblemList {
  readonly #problems = new Map<string, Problem>()
  #omitted = 0

  /** Whether more would be counted only. */
  get full(): boolean {
    return this.#problems.size >= MAX_PROBLEMS
  }

  get empty(): boolean {
    return this.#problems.size === 0
  }

  add(place: Place, message: string, at: 'key' | 'value' = 'value'): void {
    if (this.full) {
      this.omit(1)
      return
    }
    const { line, column } = place.source.locate(place.path, at)
    this.addAt({ file: place.source.file, line, column, path: formatPath(place.path), message })
  }

  addAt(problem: Problem): void {
    if (this.full) this.omit(1)
    else {
      const line = { ...problem, path: oneLine(problem.path), message: oneLine(problem.message) }
      this.#problems.set(formatProblem(line), line)
    }
  }

  /** Adds all of another list behind its own. */
  addAll(other: ProblemList): void {
    for (const problem of other.#problems.values()) this.addAt(problem)
    this.omit(other.#omitted)
  }

  /** Counts problems that nobody needs to be told one by one. */
  omit(count: number): void {
    this.#omitted += count
  }

  /** By file in the order of reading, then by line; the last one says how many were left out. */
  list(): Problem[] {
    const files = new Map<string, Problem[]>()
    for (const problem of this.#problems.values()) {
      const group = files.get(problem.file)
      if (group) group.push(problem)
      else files.set(problem.file, [problem])
    }
    const sorted = [...files.values()].flatMap(group =>
      group.toSorted((a, b) => a.line - b.line || a.column - b.column),
    )
    const last = sorted.at(-1)
    if (this.#omitted > 0 && last) {
      sorted.push({ ...last, path: '', message: `${this.#omitted} more problems are not shown` })
    }
    return sorted
  }
}
