import { environment } from '../hosts/shell.ts';

/** An image as an archive of `docker save`. */
export interface ImageArchive {
  /** Path of the archive. */
  readonly archive: string;
  /** The name that the image has in it. */
  readonly name: string;
}

/** The image of the runtime, which run.sh has built from runtime/Dockerfile. */
export const productImage = (): ImageArchive => ({
  archive: environment('PRODUCT_IMAGE'),
  name: environment('PRODUCT_IMAGE_NAME'),
});
