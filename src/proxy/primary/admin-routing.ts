/** Which route of the admin server a request is for. */
import type { Readable } from 'node:stream'
import type { ErrorCode } from '../../core/errors.ts'

/** As text, or made while it is sent. */
export type AdminBody = string | Readable

export interface AdminAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: AdminBody
  readonly headers?: Readonly<Record<string, string>>
  /** Why nothing was done. */
  readonly refused?: ErrorCode
}

export interface AdminRequest {
  /** What stands for `:id` in the path, decoded; else ''. */
  readonly id: string
  readonly query: URLSearchParams
  readonly accept: string
  /** As text; '' for a route that takes none. */
  readonly body: string
  /** Whether the caller may know everything; false only on routes that are open. */
  readonly authorized: boolean
  /** Aborted when the caller is gone. */
  readonly signal: AbortSignal
}

export interface AdminRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Segments that must be so; one of them may be `:id`, which is any. */
  readonly path: string
  /** Answered without a token, too: says to everybody what is no secret. */
  readonly open?: true
  /** Keeps the body, which others are read and forget. */
  readonly takesBody?: true
  readonly answer: (request: AdminRequest) => AdminAnswer | Promise<AdminAnswer>
}

export type RouteMatch =
  | { readonly route: AdminRoute; readonly id: string }
  | { readonly refused: 'malformed_target' | 'not_found' }
  | { readonly refused: 'method_not_allowed'; readonly allow: string }

/** `method` and target of a request. */
export function routeOf(
  routes: readonly AdminRoute[],
  method: string,
  target: string,
): RouteMatch & { readonly query: URLSearchParams } {
  const url = target.startsWith('/') ? URL.parse(`http://admin${target}`) : null
  const query = url?.searchParams ?? new URLSearchParams()
  if (url === null) return { refused: 'malformed_target', query }
  const matching = routes.flatMap(route => {
    const id = match(route.path, url.pathname)
    return id === undefined ? [] : [{ route, id }]
  })
  if (matching.length === 0) return { refused: 'not_found', query }
  const wanted = method === 'HEAD' ? 'GET' : method
  const found = matching.find(({ route }) => route.method === wanted)
  if (found !== undefined) return { ...found, query }
  const allow = matching.map(({ route }) => (route.method === 'GET' ? 'GET, HEAD' : route.method))
  return { refused: 'method_not_allowed', allow: allow.join(', '), query }
}

/** What stands for `:id`, '' where the pattern has none; undefined where it does not match. */
function match(pattern: string, path: string): string | undefined {
  const wanted = pattern.split('/')
  const given = path.split('/')
  if (wanted.length !== given.length) return undefined
  let id = ''
  for (const [index, segment] of given.entries()) {
    if (wanted[index] === segment) continue
    if (wanted[index] !== ':id' || segment === '') return undefined
    id = segment
  }
  try {
    return decodeURIComponent(id)
  } catch {
    return undefined
  }
}
