/** One entry of the mixer's HTTP interface: what is served, who may call it, and how it is documented. */
import type { IncomingHttpHeaders } from 'node:http'
import type { z } from 'zod'
import type { ErrorCode } from '../../core/errors.ts'
import type { Answer } from './answer.ts'
import type { Body } from './body.ts'

/** A request whose route has been found and whose caller may call it. */
export interface Call {
  readonly headers: IncomingHttpHeaders
  readonly search: URLSearchParams
  /** Reads the body; once. */
  readonly body: () => Promise<Body>
}

export interface Route {
  readonly method: 'GET' | 'POST'
  /** The whole path; there are no parameters in paths. */
  readonly path: string
  /** `token`: only with the mixer's token. */
  readonly access: 'token' | 'open'
  readonly documentation: RouteDocumentation
  readonly handle: (call: Call) => Promise<Answer>
}

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
