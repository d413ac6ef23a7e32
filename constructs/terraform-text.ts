/** Escapes text so that Terraform passes it on unchanged: `${` and `%{` would otherwise start a template. */
export function literal(text: string): string {
  return text.replace(/([$%])\{/g, '$1$1{');
}
