/**
 * The URIs in `X509Certificate.subjectAltName`, or `undefined` where the text is not understood.
 *
 * Node joins the names with ", " and, since CVE-2021-44532, writes a value that could be mistaken for several names as a
 * JSON string. So the text is read from left to right; it must not be split at commas or searched for "URI:".
 */
export function urisOf(subjectAltName: string | undefined): readonly string[] | undefined {
  const uris: string[] = []
  let rest = subjectAltName ?? ''
  while (rest !== '') {
    const match = NAME.exec(rest)
    if (match === null) return undefined
    const [whole, type, quoted, plain] = match
    if (type === 'URI') {
      const value = quoted === undefined ? plain : unquote(quoted)
      if (value === undefined) return undefined
      uris.push(value)
    }
    rest = rest.slice(whole.length)
  }
  return uris
}

/** One name and what separates it from the next. A plain value has no quote and no comma. */
const NAME = /^([A-Za-z0-9 ]+):(?:("(?:[^"\\]|\\.)*")|([^",]*))(?:, (?=.)|$)/

function unquote(json: string): string | undefined {
  try {
    return String(JSON.parse(json))
  } catch {
    return undefined
  }
}
