/** Finds the operation of a call: the first of the configured matches that fits its method and path. */
import type { Config } from '../../config/schema.ts'

type OperationConfig = Config['service']['operations'][number]

/** Not text: no path can hold it. */
const ANY = undefined

interface Pattern {
  readonly index: number
  /** '' for any. */
  readonly method: string
  /** Literal segments, also empty ones; ANY for any that is not empty. */
  readonly segments: readonly (string | typeof ANY)[]
  /** Whether more segments may follow. */
  readonly open: boolean
}

export class OperationMatcher {
  readonly #patterns: readonly Pattern[]
  readonly #none: number

  /** `none` is the answer where nothing fits. */
  constructor(operations: readonly OperationConfig[], none: number) {
    this.#patterns = operations.map((operation, index) => compile(operation.match, index))
    this.#none = none
  }

  /** Index of the operation of `method` and `target` (origin or absolute form; the query does not count). */
  match(method: string, target: string): number {
    if (this.#patterns.length === 0) return this.#none
    const path = pathOf(target)
    for (const pattern of this.#patterns) {
      if ((pattern.method === '' || pattern.method === method) && matches(pattern, path))
        return pattern.index
    }
    return this.#none
  }
}

function compile(match: string, index: number): Pattern {
  const [first, rest] = match.split(' ') as [string, string]
  // A gRPC method is the path of a POST (gRPC over HTTP/2, "Requests").
  const [method, path] =
    first === 'grpc' ? ['POST', `/${rest}`] : [first === '*' ? '' : first, rest]
  const parts = path.split('/').slice(1)
  const open = parts.at(-1) === '*'
  if (open) parts.pop()
  return { index, method, segments: parts.map(part => (part.startsWith(':') ? ANY : part)), open }
}

/** Walks path and segments side by side without splitting: a miss usually shows in the first few characters. */
function matches(pattern: Pattern, path: string): boolean {
  let at = 0
  for (const segment of pattern.segments) {
    if (path.charCodeAt(at) !== 0x2f) return false
    at++
    let end = path.indexOf('/', at)
    if (end < 0) end = path.length
    if (segment === ANY) {
      if (end === at) return false
    } else if (end - at !== segment.length || !path.startsWith(segment, at)) return false
    at = end
  }
  return pattern.open ? path.charCodeAt(at) === 0x2f : at === path.length
}

function pathOf(target: string): string {
  const query = target.indexOf('?')
  const path = query < 0 ? target : target.slice(0, query)
  if (path.startsWith('/')) return path
  const authority = path.indexOf('://')
  // `*` asks for the server as a whole: it has no path.
  if (authority < 0) return ''
  const start = path.indexOf('/', authority + 3)
  return start < 0 ? '/' : path.slice(start)
}
