/** Reads the books of a proxy from its admin server, all pages of them. */
import { request } from 'undici'
import { type ProxyBooks, proxyBooksSchema } from '../../contracts/reconcile.ts'

const PAGE = 1_000
const TIMEOUT_MS = 15_000
/** More tenants than a proxy has. */
const MAX_PAGES = 1_000

/** `problem`: one line that says what failed, and where. */
export type ProxyBooksResult = { readonly books: ProxyBooks } | { readonly problem: string }

/** `base`: `http://host:port` of the admin server. Never rejects. */
export async function readProxyBooks(base: string): Promise<ProxyBooksResult> {
  try {
    let books = await readPage(base, undefined)
    for (let page = 1; books.next !== null && page < MAX_PAGES; page += 1) {
      const more = await readPage(base, books.next)
      // The newest page has the newest totals; its tenants are those behind the ones before.
      books = { ...more, tenants: [...books.tenants, ...more.tenants] }
    }
    return { books }
  } catch (cause) {
    return { problem: `${base}: ${describe(cause)}` }
  }
}

async function readPage(base: string, after: string | undefined): Promise<ProxyBooks> {
  const url = new URL('/reconcile', base)
  url.searchParams.set('limit', String(PAGE))
  if (after !== undefined) url.searchParams.set('after', after)
  const { statusCode, body } = await request(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
  const text = await body.text()
  const books = statusCode === 200 ? proxyBooksSchema.safeParse(JSON.parse(text)) : undefined
  if (books?.success !== true)
    throw new Error(`answered ${statusCode}, but not as the admin server of a proxy does`)
  return books.data
}

function describe(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return describe(cause.errors[0])
  return cause instanceof Error ? cause.message : String(cause)
}
