/** Text that Terraform passes on as it is: `${` and `%{` would otherwise begin one of its templates. */
export function literal(text: string): string {
  return text.replace(/([$%])\{/g, '$1$1{');
}
