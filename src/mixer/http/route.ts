/** One entry of the mixer's HTTP interface: what is served, who may call it, and how it is documented. */
import type { IncomingHttpHeaders } from 'node:http'
import type { z } from 'zod'
import type { ErrorCode } from '../../core/errors.ts'
import type { Caller } from '../identity/identity.ts'
import type { Answer } from './answer.ts'
import type { Body } from './body.ts'

/** A request whose route has been found and whose caller may call it. */
export interface Call {
  readonly headers: IncomingHttpHeaders
  readonly search: URLSearchParams
  /** Reads the body, once; of at most `maxBytes`, by default what a report may have. */
  readonly body: (maxBytes?: number) => Promise<Body>
}

/** A call of a deployment. */
export interface SourceCall extends Call {
  /** Recovered from the source of the connection, before a byte of the body was read. */
  readonly caller: Caller
}

interface RouteBase {
  readonly method: 'GET' | 'POST'
  /** The whole path; there are no parameters in paths. */
  readonly path: string
  readonly documentation: RouteDocumentation
}

/** `open` to everybody, or only with the mixer's `token`. */
export interface PlainRoute extends RouteBase {
  readonly access: 'token' | 'open'
  readonly handle: (call: Call) => Promise<Answer>
}

/** Only for deployments, whom the source of the connection names; others get `unidentified_source`. */
interface SourceRoute extends RouteBase {
  readonly access: 'source'
  readonly handle: (call: SourceCall) => Promise<Answer>
}

/** With an `Authorization` field only for who has the token, who is then no deployment; without it as `source`. */
interface TokenOrSourceRoute extends RouteBase {
  readonly access: 'token-or-source'
  readonly handle: (call: Call | SourceCall) => Promise<Answer>
}

export type Route = PlainRoute | SourceRoute | TokenOrSourceRoute

/** What the OpenAPI document says about a route. */
export interface RouteDocumentation {
  readonly summary: string
  readonly parameters?: readonly { readonly name: string; readonly description: string }[]
  readonly requestBody?: z.ZodType
  /** A schema, or the media type of an answer that is not JSON. */
  readonly answer: z.ZodType | string
  /** Refusals beside those that every route may have. */
  readonly refusals: readonly ErrorCode[]
}
